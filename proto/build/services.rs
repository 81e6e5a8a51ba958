//! Tonic's clients, through prost's generator. The services are `rpc::Rpc`: see `handlers.rs`.

use tonic_build::CodeGenBuilder;

/// Writes the client of each service after its messages.
pub struct Services;

impl prost_build::ServiceGenerator for Services {
    fn generate(&mut self, service: prost_build::Service, buf: &mut String) {
        let mut builder = CodeGenBuilder::new();
        builder.emit_package(true);
        let client = builder.generate_client(&Client::of(service), "super");
        line!(*buf, "{client}");
    }
}

/// The client of a service, in the form that tonic-build takes.
struct Client {
    service: prost_build::Service,
    methods: Vec<Method>,
}

struct Method(prost_build::Method);

impl Client {
    fn of(service: prost_build::Service) -> Self {
        let methods = service.methods.iter().cloned().map(Method).collect();
        Self { service, methods }
    }
}

impl tonic_build::Service for Client {
    type Comment = String;
    type Method = Method;

    fn name(&self) -> &str {
        &self.service.name
    }
    fn package(&self) -> &str {
        &self.service.package
    }
    fn identifier(&self) -> &str {
        &self.service.proto_name
    }
    fn methods(&self) -> &[Method] {
        &self.methods
    }
    fn comment(&self) -> &[String] {
        &self.service.comments.leading
    }
}

impl tonic_build::Method for Method {
    type Comment = String;

    fn name(&self) -> &str {
        &self.0.name
    }
    fn identifier(&self) -> &str {
        &self.0.proto_name
    }
    fn codec_path(&self) -> &'static str {
        "tonic_prost::ProstCodec"
    }
    fn client_streaming(&self) -> bool {
        self.0.client_streaming
    }
    fn server_streaming(&self) -> bool {
        self.0.server_streaming
    }
    fn comment(&self) -> &[String] {
        &self.0.comments.leading
    }
    fn request_response_name(
        &self,
        proto_path: &str,
        _compile_well_known_types: bool,
    ) -> (proc_macro2::TokenStream, proc_macro2::TokenStream) {
        let path = |name: &str| format!("{proto_path}::{name}").parse().expect("prost names are Rust paths");
        (path(&self.0.input_type), path(&self.0.output_type))
    }
}

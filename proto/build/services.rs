//! Tonic's services and clients, through prost's generator. The services' replies are messages that are already encoded, so that a
//! cached answer is sent as it is stored.

use tonic_build::CodeGenBuilder;

/// Writes each service after its messages.
pub struct Services;

impl prost_build::ServiceGenerator for Services {
    fn generate(&mut self, service: prost_build::Service, buf: &mut String) {
        let mut builder = CodeGenBuilder::new();
        builder.emit_package(true).generate_default_stubs(true);
        let server = builder.generate_server(&Side::of(&service, "crate::codec::EncodedCodec", true), "super");
        let client = builder.generate_client(&Side::of(&service, "tonic_prost::ProstCodec", false), "super");
        line!(*buf, "{server}\n{client}");
    }
}

/// One side (server or client) of a service, in the form that tonic-build takes.
struct Side {
    service: prost_build::Service,
    methods: Vec<Method>,
}

struct Method {
    inner: prost_build::Method,
    codec: &'static str,
    encoded_reply: bool,
}

impl Side {
    fn of(service: &prost_build::Service, codec: &'static str, encoded_reply: bool) -> Self {
        let methods = service.methods.iter().cloned();
        Self {
            service: service.clone(),
            methods: methods.map(|method| Method { inner: method, codec, encoded_reply }).collect(),
        }
    }
}

impl tonic_build::Service for Side {
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
        &self.inner.name
    }
    fn identifier(&self) -> &str {
        &self.inner.proto_name
    }
    fn codec_path(&self) -> &str {
        self.codec
    }
    fn client_streaming(&self) -> bool {
        self.inner.client_streaming
    }
    fn server_streaming(&self) -> bool {
        self.inner.server_streaming
    }
    fn comment(&self) -> &[String] {
        &self.inner.comments.leading
    }
    fn request_response_name(
        &self,
        proto_path: &str,
        _compile_well_known_types: bool,
    ) -> (proc_macro2::TokenStream, proc_macro2::TokenStream) {
        let path = |name: &str| format!("{proto_path}::{name}").parse().expect("prost names are Rust paths");
        let request: proc_macro2::TokenStream = path(&self.inner.input_type);
        let reply: proc_macro2::TokenStream = path(&self.inner.output_type);
        if self.encoded_reply { (request, quote::quote!(crate::codec::Encoded<#reply>)) } else { (request, reply) }
    }
}

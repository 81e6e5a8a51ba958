//! Settings: where they come from, and how mistakes are reported.

use std::io::Write as _;

use zendesk_gateway::config::{Config, Mistakes, Overrides, load};

fn read(toml: &str, environment: &[(&str, &str)]) -> Result<Config, Mistakes> {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(toml.as_bytes()).expect("it can be written");
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    load(Some(file.path()), Overrides { environment, flags: &[], sandboxed: true })
}

#[test]
fn the_environment_overrides_the_file_and_flags_override_both() {
    let toml = "[server]\nlisten = \"127.0.0.1:1\"\nunary_deadline = \"5s\"\n";
    let listen = "ZENDESK_GATEWAY__SERVER__LISTEN";
    assert_eq!(read(toml, &[]).expect("valid").server.listen.port(), 1);
    let config = read(toml, &[(listen, "127.0.0.1:2"), ("ZENDESK_GATEWAY__SERVER__MAX_REQUEST_BYTES", "0100")]);
    let config = config.expect("valid");
    assert_eq!((config.server.listen.port(), config.server.max_request_bytes), (2, 100));
    assert_eq!(config.server.unary_deadline.as_secs(), 5);
    let flags = [("server.listen", "127.0.0.1:3".to_owned())];
    let environment = vec![(listen.to_owned(), "127.0.0.1:2".to_owned())];
    let flagged = load(None, Overrides { environment, flags: &flags, sandboxed: true }).expect("valid");
    assert_eq!(flagged.server.listen.port(), 3);
}

#[test]
fn a_setting_of_the_stand_in_leaves_the_rest_of_the_demo_as_it_is() {
    let sandbox = read("[sandbox]\nusers = 5\n", &[]).expect("valid").sandbox;
    assert_eq!((sandbox.users, sandbox.rate_limit), (5, 2_500));
    let sandbox = read("", &[("ZENDESK_GATEWAY__SANDBOX__RATE_LIMIT", "7")]).expect("valid").sandbox;
    assert_eq!((sandbox.users, sandbox.rate_limit), (25_000, 7));
}

#[test]
fn all_mistakes_are_reported_together_by_their_full_keys() {
    let toml = "nonsense = 1\n[server]\nlisten = \"nowhere\"\nunary_deadline = \"soon\"\nmax_request_bytes = -1\n\
                [upstream]\nbase_url = \"not a url\"\n[upstream.credential]\nkind = \"magic\"\n[telemetry]\nlog_fromat = \"json\"\n";
    let mistakes = read(toml, &[("ZENDESK_GATEWAY__SERVER__STREAM_DEADLINE", "later")]).expect_err("mistakes").0;
    let keys: Vec<&str> = mistakes.iter().filter_map(|mistake| mistake.split_once(": ")).map(|(key, _)| key).collect();
    let wanted = [
        "nonsense",
        "server.listen",
        "server.max_request_bytes",
        "server.stream_deadline",
        "server.unary_deadline",
        "telemetry.log_fromat",
        "upstream.base_url",
        "upstream.credential.kind",
    ];
    assert_eq!(keys, wanted, "{mistakes:#?}");
    assert!(mistakes.contains(&"telemetry.log_fromat: no such setting".to_owned()), "{mistakes:#?}");
}

#[test]
fn values_that_cannot_work_together_are_all_reported() {
    let load = |toml: &str| {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(toml.as_bytes()).expect("it can be written");
        load(Some(file.path()), Overrides { environment: Vec::new(), flags: &[], sandboxed: false })
            .expect_err("mistakes")
            .0
    };
    let nothing = load("");
    assert!(nothing[0].starts_with("upstream.subdomain: not set"), "{nothing:#?}");
    assert!(nothing[1].starts_with("upstream.credential.kind: not set"), "{nothing:#?}");
    let several = load(
        "[server]\nunary_deadline = \"0s\"\n[upstream]\nsubdomain = \"a.b/c\"\n\
         [upstream.credential]\nkind = \"password\"\ntoken_file = \"/x\"\n[telemetry]\nlog_filter = \"a=b=c\"\n",
    );
    for key in [
        "server.unary_deadline",
        "upstream.subdomain",
        "upstream.credential.email",
        "upstream.credential.token_file",
        "upstream.credential.password_file",
        "telemetry.log_filter",
    ] {
        assert!(several.iter().any(|mistake| mistake.starts_with(&format!("{key}: "))), "{key}: {several:#?}");
    }
    for (url, problem) in [
        ("http://zendesk.example", "must be https"),
        ("https://a.example/path", "nothing more"),
        ("ftp://127.0.0.1", "must be https"),
    ] {
        let mistakes = load(&format!("[upstream]\nbase_url = \"{url}\"\n"));
        assert!(mistakes[0].starts_with("upstream.base_url: ") && mistakes[0].contains(problem), "{mistakes:#?}");
    }
    let missing = load(
        "[upstream]\nsubdomain = \"a\"\n[upstream.credential]\nkind = \"oauth_token\"\ntoken_file = \"/no/such\"\n",
    );
    assert!(missing[0].starts_with("upstream.credential.token_file: cannot read /no/such"), "{missing:#?}");
    let untrusted =
        load("[upstream]\nsubdomain = \"a\"\nca_file = \"/no/such\"\n[upstream.credential]\nkind = \"pass_through\"\n");
    assert!(untrusted[0].starts_with("upstream.ca_file: cannot read /no/such: "), "{untrusted:#?}");
}

#[test]
fn a_subdomain_that_no_host_can_have_is_refused_in_plain_words() {
    let load = |name: &str| {
        let environment = vec![
            ("ZENDESK_GATEWAY__UPSTREAM__SUBDOMAIN".to_owned(), name.to_owned()),
            ("ZENDESK_GATEWAY__UPSTREAM__CREDENTIAL__KIND".to_owned(), "pass_through".to_owned()),
        ];
        load(None, Overrides { environment, flags: &[], sandboxed: false })
    };
    let long = "a".repeat(64);
    for (name, problem) in [
        ("-acme", "must begin and end with a letter or a digit"),
        ("acme-", "must begin and end with a letter or a digit"),
        ("-", "must begin and end with a letter or a digit"),
        (long.as_str(), "must be at most 63 characters"),
        ("acme.zendesk.com", "must be letters, digits and '-' only"),
        ("a_b", "must be letters, digits and '-' only"),
        ("a b", "must be letters, digits and '-' only"),
        ("größe", "must be letters, digits and '-' only"),
        ("xn--a", ""),
    ] {
        let told = load(name).expect_err(name).0;
        assert!(told[0].starts_with(&format!("upstream.subdomain: {problem}")), "{name}: {told:#?}");
    }
    for name in ["acme", "Acme-2", "2acme", "a--b", "a", &long[1..]] {
        load(name).unwrap_or_else(|mistakes| panic!("{name}: {mistakes}"));
    }
}

#[test]
fn a_value_of_another_type_is_refused_in_words_and_not_made_into_one_that_would_do() {
    let told = |toml: &str| {
        let toml = format!("{toml}\n[upstream.credential]\nkind = \"pass_through\"\n");
        read(&toml, &[("ZENDESK_GATEWAY__UPSTREAM__SUBDOMAIN", "acme")]).expect_err(&toml).0
    };
    for (toml, words) in [
        ("[authorization]\ndestructive = -1", "authorization.destructive: is -1, and must be true or false"),
        ("[authorization]\nread_only = nan", "authorization.read_only: is NaN, and must be true or false"),
        ("[server]\nmax_calls = true", "server.max_calls: is true, and must be a whole number"),
        ("[server]\nmax_calls = 1.5", "server.max_calls: is 1.5, and must be a whole number"),
        ("[callers]\nmax_calls = nan", "callers.max_calls: is NaN, and must be a whole number"),
        ("[admin]\nallowed_hosts = [1]", "admin.allowed_hosts: is [1], and must be a list of texts"),
        ("[telemetry]\nlog_filter = 3", "telemetry.log_filter: is 3, and must be text in quotes"),
        ("[telemetry]\nsample_ratio = inf", "telemetry.sample_ratio: is inf, and must be a number"),
        ("[server]\nworkers = 0", "server.workers: is 0, and must be a whole number of 1 or more"),
        ("[server]\nmax_request_bytes = \"99999999999 GiB\"", "server.max_request_bytes: "),
        (
            "[upstream.queue]\npermits = 9223372036854775807",
            "upstream.queue.permits: is 9223372036854775807, and must be at most",
        ),
        ("[upstream.queue]\npermits = 18446744073709551615", "the file is no TOML: a number in it is too large"),
    ] {
        let told = told(toml);
        assert!(told[0].starts_with(words), "{toml}: {told:#?}");
    }
    let nameless = read("", &[("ZENDESK_GATEWAY__", "1")]).expect_err("a variable without a name").0;
    assert!(nameless.iter().any(|mistake| mistake.starts_with("ZENDESK_GATEWAY__: names no setting")), "{nameless:#?}");
}

#[test]
fn host_names_of_the_admin_port_are_names_and_nothing_more() {
    let hosts = |text: &str| {
        read("", &[("ZENDESK_GATEWAY__ADMIN__ALLOWED_HOSTS", text)]).map(|config| config.admin.allowed_hosts)
    };
    assert_eq!(hosts("one.example, two").expect("valid"), ["one.example", "two"]);
    for wrong in ["http://one.example", "one.example:9090", "*.example", "one..example", "one.example/x"] {
        let told = hosts(wrong).expect_err(wrong).0;
        assert!(
            told[0].starts_with("admin.allowed_hosts: ") && told[0].contains("without scheme and port"),
            "{told:#?}"
        );
    }
}

fn mistakes(toml: &str) -> Vec<String> {
    read(toml, &[]).expect_err("mistakes").0
}

#[test]
fn an_open_port_must_say_so() {
    let open = "[server]\nlisten = \"0.0.0.0:1\"\n";
    let told = mistakes(open);
    assert!(told[0].starts_with("identity.methods: not set") && told[0].contains("[\"none\"]"), "{told:#?}");
    read(&format!("{open}[identity]\nmethods = [\"none\"]\n"), &[]).expect("it says so");
    read(open, &[("ZENDESK_GATEWAY__IDENTITY__METHODS", "none")]).expect("the environment can say so, too");
    read("[server]\nlisten = \"[::1]:1\"\n", &[]).expect("a loopback address is not open");
}

#[test]
#[rustfmt::skip]
fn what_is_missing_or_wrong_about_callers_is_reported_by_its_key() {
    for (toml, wanted) in [
        ("[identity]\nmethods = [\"none\", \"jwt\"]\n", "identity.methods: \"none\" cannot be combined"),
        ("[identity]\nmethods = [\"password\"]\n", "identity.methods: "),
        ("[identity]\nmethods = [\"api_key\"]\n", "identity.api_keys.file: not set"),
        ("[identity]\nmethods = [\"certificate\"]\n", "server.tls.client_ca_file: not set"),
        ("[identity]\nmethods = [\"api_key\"]\n", "authorization.rules: not set, so no caller may do anything"),
        ("[identity.api_keys]\nfile = \"/x\"\n", "identity.api_keys.file: set, but"),
        (
            "[identity]\nmethods = [\"api_key\"]\n[identity.api_keys]\nfile = \"/no/such\"\n",
            "identity.api_keys.file: cannot read",
        ),
        ("[identity]\nmethods = [\"jwt\"]\n", "identity.jwt.issuer: not set"),
        ("[identity]\nmethods = [\"jwt\"]\n", "identity.jwt.audience: not set"),
        ("[identity]\nmethods = [\"jwt\"]\n", "identity.jwt.jwks_url: not set"),
        ("[identity.jwt]\nissuer = \"a\"\n", "identity.jwt.issuer: set, but"),
        (
            "[identity]\nmethods = [\"jwt\"]\n[identity.jwt]\njwks_url = \"http://a.example/\"\n",
            "identity.jwt.jwks_url: must be https",
        ),
        (
            "[identity]\nmethods = [\"jwt\"]\n[identity.jwt]\njwks_url = \"https://a.example/\"\njwks_file = \"/x\"\n",
            "identity.jwt.jwks_url: identity.jwt.jwks_file is set too",
        ),
        ("[identity.jwt]\nalgorithms = [\"HS256\"]\n", "identity.jwt.algorithms: "),
        ("[identity]\nmethods = [\"jwt\"]\n[identity.jwt]\nalgorithms = []\n", "identity.jwt.algorithms: must name"),
        ("[identity]\nmethods = [\"jwt\"]\n[identity.jwt]\nleeway = \"1h\"\n", "identity.jwt.leeway: must be at most"),
        ("[[authorization.rules]]\nrisks = [\"read\"]\n", "authorization.rules[0].callers: not set"),
        ("[[authorization.rules]]\ncallers = [\"*\"]\n", "authorization.rules[0].risks: not set"),
        ("[[authorization.rules]]\ncallers = [\"*\"]\nrisks = [\"all\"]\n", "authorization.rules[0].risks: "),
        (
            "[[authorization.rules]]\ncallers = [\"*\"]\nrisk = [\"read\"]\n",
            "authorization.rules[0].risk: no such setting",
        ),
        (
            "[[authorization.rules]]\ncallers = [\"api_key:a\"]\nrisks = [\"read\"]\n",
            "authorization.rules[0].callers: \"api_key:a\" is the name of no caller",
        ),
        (
            "[[authorization.rules]]\ncallers = [\"*\"]\nrisks = [\"read\"]\n[[authorization.rules]]\ncallers = [\"*\"]\nrisks = [\"read\"]\nmethods = [\"UserService/Gut*\"]\n",
            "authorization.rules[1].methods: \"UserService/Gut*\" matches no RPC",
        ),
    ] {
        let told = mistakes(toml);
        assert!(told.iter().any(|mistake| mistake.starts_with(wanted)), "{toml}{wanted}: {told:#?}");
    }
}

#[test]
fn check_reports_mistakes_and_fails() {
    let binary = env!("CARGO_BIN_EXE_zendesk-gateway");
    let run = |arguments: &[&str]| {
        std::process::Command::new(binary).args(arguments).env_clear().output().expect("the binary runs")
    };
    let bad = run(&["check"]);
    assert!(!bad.status.success());
    let text = String::from_utf8_lossy(&bad.stderr).into_owned();
    assert!(text.contains("2 mistakes") && text.contains("upstream.credential.kind"), "{text}");
    let good = run(&["check", "--sandbox"]);
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
}

#[test]
fn check_reads_each_file_as_the_gateway_does_at_its_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("it can be written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let rules = file("rules.toml", "[[authorization.rules]]\ncallers = [\"*\"]\nrisks = [\"read\"]\n");
    let in_environment = |variables: Vec<(String, &str)>| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_zendesk-gateway"));
        command.args(["check", "--sandbox", "--config", &*rules]).env_clear().envs(variables);
        let output = command.output().expect("the binary runs");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let check = |settings: &[(&str, &str)]| {
        in_environment(settings.iter().map(|(key, value)| (format!("ZENDESK_GATEWAY__{key}"), *value)).collect())
    };
    let keys = format!("one {}", "0".repeat(64));
    let jwt = |file: &str| {
        [
            ("IDENTITY__METHODS", "jwt"),
            ("IDENTITY__JWT__JWKS_FILE", file),
            ("IDENTITY__JWT__ISSUER", "https://a"),
            ("IDENTITY__JWT__AUDIENCE", "b"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
    };
    for (text, is_well) in [(&*keys, true), ("a b\nc", false), ("", false), ("one 00", false)] {
        let path = file("keys", text);
        let (well, said) = check(&[("IDENTITY__METHODS", "api_key"), ("IDENTITY__API_KEYS__FILE", &path)]);
        assert_eq!(well, is_well, "{text}: {said}");
        assert!(is_well || said.contains("identity.api_keys.file"), "{text}: {said}");
    }
    for text in ["nonsense", "[]", "{\"keys\":[]}"] {
        let settings = jwt(&file("jwks", text));
        let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (&**key, &**value)).collect();
        let (well, said) = check(&settings);
        assert!(!well && said.contains("identity.jwt"), "{text}: {said}");
    }
    for (attributes, named) in
        [("1abc=x", r#""1abc" is no key"#), ("=x", r#""" is no key"#), ("a", r#""a" is no key=value"#)]
    {
        let (well, said) = in_environment(vec![("OTEL_RESOURCE_ATTRIBUTES".to_owned(), attributes)]);
        assert!(!well && said.contains("OTEL_RESOURCE_ATTRIBUTES") && said.contains(named), "{said}");
    }
    assert!(in_environment(vec![("OTEL_RESOURCE_ATTRIBUTES".to_owned(), "team=support,k8s.pod.name=a")]).0);
    let headers = file("headers", "no colon here");
    let (well, said) =
        check(&[("TELEMETRY__OTLP__ENDPOINT", "http://127.0.0.1:1"), ("TELEMETRY__OTLP__HEADERS_FILE", &headers)]);
    assert!(!well && said.contains("telemetry.otlp.headers_file"), "{said}");
    let authority = file("ca.pem", "-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n-----END CERTIFICATE-----\n");
    let (well, said) = check(&[("UPSTREAM__CA_FILE", &authority)]);
    assert!(well, "the stand-in needs none: {said}");
    let zendesk = "https://example.zendesk.com".parse().expect("a URL");
    let error =
        zendesk_gateway::upstream::client::Origin::new(&zendesk, Some(authority.as_ref())).err().expect("it is none");
    let said = format!("{error:#}");
    assert!(said.starts_with("upstream.ca_file: ") && said.ends_with("is none"), "{said}");
}

#[test]
fn what_is_said_on_the_command_line_is_checked() {
    let binary = env!("CARGO_BIN_EXE_zendesk-gateway");
    for (arguments, told) in [
        (&["serve", "--users", "5"][..], "add --sandbox"),
        (&["serve", "--seed", "5"], "add --sandbox"),
        (&["serve", "--sandbox", "--listen", "foo"], "must be an address with a port, such as 0.0.0.0:50051"),
    ] {
        let run = std::process::Command::new(binary).args(arguments).env_clear().output().expect("the binary runs");
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(!run.status.success() && said.contains(told), "{arguments:?}: {said}");
    }
}

#[test]
fn what_fits_together_badly_is_told_in_the_same_round_as_wrong_values() {
    let toml = "[server]\nlisten = \"127.0.0.1:7\"\nunary_deadline = \"0s\"\nmax_calls = \"many\"\n\
                [admin]\nlisten = \"127.0.0.1:7\"\n[telemetry]\nlog_filter = \"warning\"\n";
    let mistakes =
        read(toml, &[("ZENDESK_GATEWAY_UPSTREAM_SUBDOMAIN", "acme"), ("ZENDESK_GATEWAY_SERVICE_HOST", "10.0.0.1")]);
    let mistakes = mistakes.expect_err("mistakes").0;
    let keys: Vec<&str> = mistakes.iter().filter_map(|mistake| mistake.split_once(": ")).map(|(key, _)| key).collect();
    let wanted = [
        "ZENDESK_GATEWAY_UPSTREAM_SUBDOMAIN",
        "admin.listen",
        "server.max_calls",
        "server.unary_deadline",
        "telemetry.log_filter",
    ];
    assert_eq!(
        keys.iter().filter(|key| **key != "identity.methods").collect::<Vec<_>>(),
        wanted.iter().collect::<Vec<_>>(),
        "{mistakes:#?}"
    );
    let said = mistakes.join("\n");
    assert!(said.contains("is \"warning\"") || said.contains("\"warning\" is no level"), "{said}");
}

#[test]
fn wrong_values_are_told_in_words_that_need_no_rust() {
    for (toml, wanted) in [
        (
            "[identity]\nmethods = [\"nonne\"]",
            "identity.methods: is [\"nonne\"], and must be none, certificate, jwt or api_key",
        ),
        (
            "[[authorization.rules]]\ncallers = [\"*\"]\nrisks = [\"reed\"]",
            "authorization.rules[0].risks: is [\"reed\"], and must be read, write, admin or destructive",
        ),
        ("[telemetry]\nlog_format = \"text\"", "telemetry.log_format: is \"text\", and must be json or pretty"),
        (
            "[server]\nlisten = \"nowhere\"",
            "server.listen: is \"nowhere\", and must be an address with a port, such as 0.0.0.0:50051",
        ),
        ("[server]\nmax_calls = -1", "server.max_calls: is -1, and must be a whole number of 0 or more"),
        (
            "[server]\nunary_deadline = \"30\"",
            "server.unary_deadline: is \"30\", and must be a duration such as 30s or 1m 30s",
        ),
        (
            "[server]\nmax_request_bytes = \"4 apples\"",
            "server.max_request_bytes: is \"4 apples\", and must be a number of bytes, or a size such as 4 MiB",
        ),
        ("[cache]\nrecord = 5", "cache.record: is 5, and must be a table of settings"),
        (
            "[upstream]\nbase_url = \"zendesk\"",
            "upstream.base_url: is \"zendesk\", and must be a URL such as https://example.com",
        ),
    ] {
        let mistakes = read(toml, &[]).expect_err("mistakes").0;
        assert!(mistakes.iter().any(|mistake| mistake == wanted), "{wanted}: {mistakes:#?}");
    }
    let config = read(
        "[server]\nmax_request_bytes = \"2 MiB\"\n[cache]\nmax_bytes = 5\n",
        &[("ZENDESK_GATEWAY__CACHE__MAX_BYTES", "1 GiB")],
    );
    let config = config.expect("sizes with units");
    assert_eq!((config.server.max_request_bytes, config.cache.max_bytes), (2 << 20, 1 << 30));
}

/// Each setting by its key, and lists and tables as they are.
fn keys(value: &serde_json::Value, key: &str, into: &mut Vec<String>) {
    if let Some(fields) = value.as_object() {
        for (name, below) in fields {
            keys(below, &format!("{key}{}{name}", if key.is_empty() { "" } else { "." }), into);
        }
    }
    into.push(key.to_owned());
}

#[test]
#[ignore = "slow"]
fn no_message_about_any_wrong_value_names_a_type_of_rust() {
    let mut all = Vec::new();
    keys(&serde_json::to_value(Config::default()).expect("settings have a form in JSON"), "", &mut all);
    all.retain(|key| !key.is_empty());
    assert!(all.len() > 80, "{all:#?}");
    let rust = [
        "struct ", "enum ", "variant", "u8", "u16", "u32", "u64", "usize", "i64", "f64", "bool ", "sequence", "map",
        "newtype", "Option", "Vec<", "Some(", "integer", "str ",
    ];
    for key in &all {
        for wrong in [
            "-1",
            "1.5",
            "true",
            "\"x y\"",
            "\"\"",
            "[]",
            "[1]",
            "{}",
            "{ x = 1 }",
            "[[1]]",
            "1e300",
            "\"-5s\"",
            "99999999999999999999",
            "[{ x = 1 }]",
            "[{ callers = 1 }]",
            "[{ callers = [\"*\"], risks = [1], methods = {} }]",
            "{ kind = 7 }",
            "{ kind = \"api_token\", email = [] }",
        ] {
            let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
            let toml =
                if table.is_empty() { format!("{name} = {wrong}") } else { format!("[{table}]\n{name} = {wrong}") };
            let variable = format!("ZENDESK_GATEWAY__{}", key.to_uppercase().replace('.', "__"));
            for told in [read(&toml, &[]), read("", &[(&variable, wrong)])] {
                for mistake in told.err().into_iter().flat_map(|mistakes| mistakes.0) {
                    let told = mistake.replace(wrong.trim_matches('"'), "");
                    assert!(!rust.iter().any(|word| told.contains(word)), "{key} = {wrong}: {mistake}");
                }
            }
        }
    }
}

#[test]
fn a_variable_that_is_no_text_is_nobodys_business_unless_it_is_the_gateways() {
    let bytes = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"a\xff");
    let check = |name: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_zendesk-gateway"));
        let output = command.args(["check", "--sandbox"]).env_clear().env(name, bytes).output().expect("it runs");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert!(check("FROM_A_SECRET").0);
    let (valid, said) = check("ZENDESK_GATEWAY__SERVER__LISTEN");
    assert!(!valid && said.contains("ZENDESK_GATEWAY__SERVER__LISTEN: is no text in UTF-8"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_drain_that_is_too_short_for_writes_is_remarked_on() {
    let remarks = |toml: &str| read(toml, &[]).expect("valid").remarks();
    assert_eq!(remarks(""), [""; 0]);
    let short = "[server.drain]\ntimeout = \"12s\"\nannounce = \"1s\"\n[server]\nunary_deadline = \"5s\"\n";
    for toml in [short.to_owned(), format!("{short}[upstream.attempt]\nwrite_timeout = \"12s\"\n")] {
        let remarks = remarks(&toml);
        assert!(remarks.len() == 1 && remarks[0].starts_with("server.drain.timeout: "), "{remarks:?}");
    }
    assert_eq!(remarks(&format!("{short}[upstream.attempt]\nwrite_timeout = \"11s\"\n")), [""; 0]);
}

//! Values that are refused because they do not work together.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::rendered::{has_helm, root, scenario, try_render};

/// The scenario, what is set over it, and how the refusal begins.
fn refused() -> Vec<(&'static str, Value, &'static str)> {
    let account = "api-token";
    vec![
        (
            account,
            json!({"keda": {"enabled": true, "triggers": [{}]}, "autoscaling": {"enabled": true}}),
            "keda.enabled: ",
        ),
        (account, json!({"autoscaling": {"enabled": true, "minReplicas": 7}}), "autoscaling.minReplicas: "),
        (
            account,
            json!({"autoscaling": {"enabled": true, "targetCPUUtilizationPercentage": 0}}),
            "autoscaling.metrics: ",
        ),
        (account, json!({"keda": {"enabled": true, "minReplicaCount": 7, "triggers": [{}]}}), "keda.minReplicaCount: "),
        (account, json!({"keda": {"enabled": true}}), "keda.triggers: "),
        (
            account,
            json!({"podDisruptionBudget": {"minAvailable": 1, "maxUnavailable": 1}}),
            "podDisruptionBudget.maxUnavailable: podDisruptionBudget.minAvailable is set too",
        ),
        (account, json!({"podDisruptionBudget": {"minAvailable": 2}}), "podDisruptionBudget.minAvailable: with 2 of 2"),
        (
            account,
            json!({"podDisruptionBudget": {"minAvailable": "100%"}}),
            "podDisruptionBudget.minAvailable: with 100%",
        ),
        (account, json!({"podDisruptionBudget": {"maxUnavailable": 0}}), "podDisruptionBudget.maxUnavailable: with 0"),
        (
            account,
            json!({"replicaCount": 1, "podDisruptionBudget": {"minAvailable": "1%"}}),
            "podDisruptionBudget.minAvailable: with 1% of 1",
        ),
        (
            account,
            json!({"config": {"cache": {"max_bytes": "512 MiB"}}}),
            "resources.limits.memory: 512Mi is less than config.cache.max_bytes, 536870912, and",
        ),
        (account, json!({"extraArgs": ["--listen", "0.0.0.0:1"]}), "extraArgs: --listen would override"),
        (
            account,
            json!({"extraEnv": [{"name": "ZENDESK_GATEWAY_UPSTREAM_SUBDOMAIN", "value": "a"}]}),
            "extraEnv: ZENDESK_GATEWAY_UPSTREAM_SUBDOMAIN is no setting",
        ),
        (account, json!({"prometheusRule": {"runbookBase": "not a url"}}), "prometheusRule.runbookBase: "),
        (account, json!({"serviceMonitor": {"interval": "10m"}}), "serviceMonitor.interval: 10m is more than 2m"),
        (account, json!({"terminationGracePeriodSeconds": 45}), "terminationGracePeriodSeconds: 45 s is not more than"),
        (
            account,
            json!({"config": {"server": {"unary_deadline": "1m"}}}),
            "config.server.drain.timeout: 45s is less than",
        ),
        (
            account,
            json!({"config": {"server": {"drain": {"announce": "45s"}}}}),
            "config.server.drain.timeout: 45s is not more",
        ),
        (account, json!({"config": {"server": {"listen": "127.0.0.1:50051"}}}), "config.server.listen: nobody"),
        (account, json!({"config": {"admin": {"listen": "[::1]:9090"}}}), "config.admin.listen: nobody"),
        (
            account,
            json!({"config": {"server": {"listen": "0.0.0.0:443"}}}),
            "config.server.listen: the gateway is not root",
        ),
        (account, json!({"config": {"admin": {"listen": "0.0.0.0:50051"}}}), "config.admin.listen: has the port"),
        (account, json!({"service": {"port": 9090}}), "service.port: is the port of config.admin.listen"),
        (
            account,
            json!({"extraEnv": [{"name": "ZENDESK_GATEWAY__SERVER__LISTEN", "value": "0.0.0.0:1"}]}),
            "extraEnv: ZENDESK_GATEWAY__SERVER__LISTEN would",
        ),
    ]
}

fn refused_connections() -> Vec<(&'static str, Value, &'static str)> {
    let account = "api-token";
    vec![
        (account, json!({"sandbox": {"enabled": true}, "replicaCount": 1}), "sandbox.enabled: answers come"),
        ("sandbox", json!({"replicaCount": 2}), "sandbox.enabled: each pod"),
        ("sandbox", json!({"autoscaling": {"enabled": true}}), "sandbox.enabled: each pod"),
        (
            "",
            upstream(&json!({"credential": {"kind": "api_token", "token_file": "/x"}})),
            "config.upstream.subdomain: not set",
        ),
        (
            account,
            json!({"config": {"upstream": {"base_url": "https://a.example"}}}),
            "config.upstream.base_url: config.upstream.subdomain is set too",
        ),
        ("", upstream(&json!({"subdomain": "example"})), "config.upstream.credential.kind: not set"),
        (account, json!({"secret": {"existingSecret": ""}}), "secret.existingSecret: not set, and"),
        (account, json!({"secret": {"existingSecret": "", "data": {"tokn": "x"}}}), "secret.data: has no key token"),
        (account, json!({"secret": {"data": {"token": "x"}}}), "secret.data: secret.existingSecret is set too"),
        (
            account,
            json!({"tls": {"existingSecret": "a", "certificate": {"enabled": true, "issuerRef": {"name": "b"}}}}),
            "tls.existingSecret: tls.certificate.enabled is set too",
        ),
        (account, json!({"tls": {"certificate": {"enabled": true}}}), "tls.certificate.issuerRef: "),
        (
            "",
            json!({
                "config": {"upstream": {"subdomain": "example", "credential": {"kind": "oauth_token"}}},
                "secret": {"existingSecret": "zendesk"},
            }),
            "config.identity.methods: not set",
        ),
        (
            account,
            json!({"config": {"identity": {"methods": ["jwt", "none"]}}}),
            "config.identity.methods: none cannot",
        ),
        (account, json!({"config": {"identity": {"methods": ["jwt"]}}}), "config.authorization.rules: not set"),
        (
            account,
            json!({"config": {
                "identity": {"methods": ["certificate"]},
                "authorization": {"rules": [{"callers": ["*"], "risks": ["read"]}]},
            }}),
            "config.server.tls.client_ca_file: not set",
        ),
        (
            account,
            json!({"serviceMonitor": {"enabled": true}, "podMonitor": {"enabled": true}}),
            "podMonitor.enabled: serviceMonitor.enabled is set too",
        ),
        (account, json!({"podLabels": {"app.kubernetes.io/name": "x"}}), "podLabels: app.kubernetes.io/name is"),
        (account, json!({"grpcRoute": {"enabled": true}}), "grpcRoute.parentRefs: "),
        (
            account,
            json!({"prometheusRule": {"disabled": ["ZendeskGatewayCacheWarm"]}}),
            "prometheusRule.disabled: there is no alert ZendeskGatewayCacheWarm",
        ),
        (
            account,
            json!({"prometheusRule": {"thresholds": {"callsFailFast": 10}}}),
            "prometheusRule.thresholds.callsFailFast: is 10, and must be a share",
        ),
        (
            account,
            json!({"prometheusRule": {"thresholds": {"certificateEndsSeconds": 14}}}),
            "prometheusRule.thresholds.certificateEndsSeconds: is 14 seconds",
        ),
        (
            account,
            json!({"prometheusRule": {"severities": {"ZendeskGatewayCacheWarm": "page"}}}),
            "prometheusRule.severities: there is no alert by the name of ZendeskGatewayCacheWarm",
        ),
        (
            account,
            json!({"prometheusRule": {"thresholds": {"callsFailFats": 1}}}),
            "prometheusRule.thresholds: there is no threshold callsFailFats",
        ),
        (
            account,
            json!({"networkPolicy": {"enabled": true}, "podMonitor": {"enabled": true}}),
            "networkPolicy.adminFrom: empty, so",
        ),
        (account, json!({"serviceAccount": {"create": false}}), "serviceAccount.name: every pod of the namespace"),
        ("sandbox", json!({"fleet": {"mode": "kubernetes"}}), "fleet.mode: sandbox.enabled is set"),
        (
            account,
            json!({"fleet": {"mode": "kubernetes"}, "config": {"fleet": {"mode": "static"}}}),
            "fleet.mode: config.fleet.mode is static",
        ),
        (account, json!({"fleet": {"port": 50051}}), "fleet.port: is the port of"),
        (account, json!({"fleet": {"port": 443}}), "fleet.port: the gateway is not root"),
        (
            account,
            json!({"replicaCount": 1, "config": {"fleet": {"mode": "kubernetes"}}}),
            "config.fleet.mode: the pods have what they need",
        ),
    ]
}

fn refused_by_the_cluster() -> Vec<(&'static str, Value, &'static str)> {
    let account = "api-token";
    let certificate = json!({"enabled": true, "issuerRef": {"name": "b"}, "duration": "720h"});
    vec![
        (
            account,
            json!({"strategy": {"rollingUpdate": {"maxSurge": "0%"}}}),
            "strategy.rollingUpdate.maxSurge: is 0, as",
        ),
        (account, json!({"minReadySeconds": 600}), "minReadySeconds: 600 is not less than"),
        (
            account,
            json!({"prometheusRule": {"alertLabels": {"bad-name": "x", "team": "support"}}}),
            "prometheusRule.alertLabels: \"bad-name\" is no name of a label",
        ),
        (
            account,
            json!({"prometheusRule": {"alertLabels": {"job": "x"}}}),
            "prometheusRule.alertLabels: job is set by the rules",
        ),
        (account, json!({"resources": {"requests": {"memory": "1Gi"}}}), "resources.requests.memory: 1Gi is more"),
        (
            account,
            json!({"resources": {"requests": {"cpu": 1.5}, "limits": {"cpu": "1400m"}}}),
            "resources.requests.cpu: 1.5 is more than resources.limits.cpu, 1400m",
        ),
        (
            account,
            json!({"autoscaling": {"enabled": true}, "resources": {"requests": {"cpu": null}}}),
            "autoscaling.targetCPUUtilizationPercentage: is a share",
        ),
        (
            account,
            json!({"tls": {"certificate": certificate}}),
            "tls.certificate.renewBefore: 720h is not less than tls.certificate.duration, 720h",
        ),
        (
            account,
            json!({"service": {"ipFamilies": ["IPv6"]}, "config": {"admin": {"listen": "[::]:9090"}}}),
            "config.server.listen: 0.0.0.0:50051 is IPv4",
        ),
        (
            account,
            json!({"service": {"externalTrafficPolicy": "Local"}}),
            "service.externalTrafficPolicy: does nothing for the type",
        ),
        (account, json!({"service": {"nodePort": 30_051}}), "service.nodePort: does nothing for the type"),
        (
            account,
            json!({"lifecycle": {"preStop": {"sleep": {"seconds": 15}}}}),
            "lifecycle.preStop: its 15 s count as",
        ),
        (
            account,
            json!({"serviceMonitor": {"interval": "30s", "scrapeTimeout": "1m"}}),
            "serviceMonitor.scrapeTimeout: 1m is more than serviceMonitor.interval, 30s",
        ),
        (account, json!({"probes": {"readiness": null}}), "probes.readiness: is empty"),
    ]
}

fn upstream(upstream: &Value) -> Value {
    json!({"config": {"upstream": upstream, "identity": {"methods": ["none"]}}})
}

fn files(base: &str) -> Vec<PathBuf> {
    if base.is_empty() { Vec::new() } else { vec![scenario(base)] }
}

/// The literal parts of every refusal that the templates can word.
fn worded() -> Vec<String> {
    let source = std::fs::read_to_string(root().join("helm/templates/_guards.tpl")).expect("the guards");
    let appended = source.lines().filter_map(|line| line.split_once("append $found ")).map(|(_, rest)| rest);
    let literal = |text: &str| text.split('"').nth(1).expect("a text").to_owned();
    appended.map(literal).collect()
}

#[test]
fn a_rule_without_an_expression_is_refused_and_one_with_it_is_not() {
    if !has_helm() {
        return;
    }
    let with = |rule: Value| try_render(&files("api-token"), &json!({"prometheusRule": {"extraRules": [rule]}}));
    for rule in [json!({"alert": "Ours"}), json!({"expr": "up"}), json!({"alert": "Ours", "expr": ""})] {
        let said = with(rule.clone()).err().expect("refused");
        assert!(said.contains("/prometheusRule/extraRules/0"), "{rule}: {said}");
    }
    for rule in [json!({"alert": "Ours", "expr": "up == 0"}), json!({"record": "ours", "expr": 1})] {
        with(rule).expect("taken");
    }
}

#[test]
#[ignore = "slow"]
fn every_guard_fires_and_names_the_value() {
    if !has_helm() {
        return;
    }
    let mut fired = String::new();
    for (base, values, beginning) in refused().into_iter().chain(refused_connections()).chain(refused_by_the_cluster())
    {
        let Err(said) = try_render(&files(base), &values) else { panic!("accepted: {values}") };
        let refusals: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("  - ")).collect();
        assert!(refusals.iter().any(|line| line.starts_with(beginning)), "{values}: {said}");
        assert_eq!(refusals.len(), 1, "nothing else is wrong: {values}: {said}");
        fired.push_str(&said);
    }
    let worded = worded();
    assert!(worded.len() > 20, "{worded:#?}");
    for text in worded {
        let longest = text.split(['%', '\\']).max_by_key(|part| part.len()).expect("a part");
        let longest = longest.trim_start_matches(['s', 'd', 'v', 'q']);
        assert!(fired.contains(longest), "no test makes this guard fire: {text}");
    }
}

#[test]
fn all_refusals_are_told_at_once() {
    if !has_helm() {
        return;
    }
    let values =
        json!({"terminationGracePeriodSeconds": 10, "grpcRoute": {"enabled": true}, "service": {"port": 9090}});
    let Err(said) = try_render(&[], &values) else { panic!("accepted") };
    for key in [
        "config.identity.methods",
        "config.upstream.subdomain",
        "config.upstream.credential.kind",
        "terminationGracePeriodSeconds",
        "grpcRoute.parentRefs",
        "service.port",
    ] {
        assert!(said.contains(&format!("\n  - {key}: ")), "{key}: {said}");
    }
}

#[test]
fn the_end_of_a_pod_is_reckoned_in_every_unit() {
    if !has_helm() {
        return;
    }
    let fits = |grace: u32, deadline: &str| {
        let values =
            json!({"terminationGracePeriodSeconds": grace, "config": {"server": {"unary_deadline": deadline}}});
        try_render(&[scenario("api-token")], &values).is_ok()
    };
    // Announced for 8 s, ended after 45 s, as the binary does where nothing is set.
    let server = zendesk_gateway::config::Server::default();
    assert_eq!((server.drain.announce.as_secs(), server.drain.timeout.as_secs()), (8, 45));
    assert_eq!(server.unary_deadline.as_secs(), 30);
    assert!(fits(46, "37s") && fits(46, "37000ms") && fits(46, "0m 36s 1000ms"));
    assert!(!fits(45, "37s") && !fits(46, "38s") && !fits(46, "37001ms") && !fits(46, "1h") && !fits(46, "1d"));
}

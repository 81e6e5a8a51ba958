//! What each scenario renders.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use super::rendered::{
    FULL_NAME, container, has_helm, helm, list, render, root, scenario, scenarios, settings_of, try_render,
};
use crate::support::tools::is_installed;

#[test]
#[ignore = "slow"]
fn every_scenario_lints_and_renders_without_a_warning() {
    if !has_helm() {
        return;
    }
    for (name, files) in scenarios() {
        let said = helm(&["lint", "--strict", "helm"], &files, &json!({}));
        let told = format!("{}{}", said.stdout, said.stderr);
        assert!(said.success && told.contains("1 chart(s) linted, 0 chart(s) failed"), "{name}: {told}");
        assert!(!told.contains("[WARNING]") && !told.contains("[ERROR]"), "{name}: {told}");
        let rendered = render(&files, &json!({}));
        assert!(!rendered.yaml.contains("<no value>"), "{name}: {}", rendered.yaml);
        for object in &rendered.objects {
            let (kind, metadata) = (&object["kind"], &object["metadata"]);
            let ours = metadata["labels"]["app.kubernetes.io/managed-by"] == "Helm";
            let foreign =
                metadata["name"].as_str().is_some_and(|name| name.ends_with("-text") || name.ends_with("-proxies"));
            assert!(ours || foreign, "{name}: {kind} lacks the common labels: {metadata}");
        }
    }
}

#[test]
#[ignore = "slow"]
fn each_option_makes_its_object_and_nothing_else_does() {
    if !has_helm() {
        return;
    }
    let base = ["Deployment", "Job", "Service"];
    // The ConfigMap is the test's.
    let usual = ["ConfigMap", "Pod", "PodDisruptionBudget", "ServiceAccount"];
    for (name, more) in [
        ("api-token", &[][..]),
        ("sandbox", &[]),
        ("autoscaling", &["HorizontalPodAutoscaler"]),
        ("keda", &["ScaledObject"]),
        ("monitoring", &["ServiceMonitor", "PrometheusRule"]),
        ("podmonitor", &["PodMonitor"]),
        ("network-policy", &["NetworkPolicy"]),
        ("grpcroute", &["GRPCRoute"]),
        ("extras", &[]),
    ] {
        let rendered = render(&[scenario(name)], &json!({}));
        let kinds: BTreeSet<&str> = rendered.objects.iter().filter_map(|object| object["kind"].as_str()).collect();
        // From two pods on they elect a leader.
        let fleet = if name == "sandbox" { &[][..] } else { &["Lease", "Role", "RoleBinding"] };
        assert_eq!(kinds, base.iter().chain(&usual).chain(more).chain(fleet).copied().collect(), "{name}");
        assert_eq!(rendered.of("Service").count(), 2, "{name}");
    }
    let bare = render(&[scenario("password")], &json!({}));
    let kinds: BTreeSet<&str> = bare.objects.iter().filter_map(|object| object["kind"].as_str()).collect();
    assert_eq!(kinds, base.into_iter().chain(["Secret"]).collect(), "everything optional left out");
    for name in ["trial", "trial-check"] {
        assert_eq!(bare.one("Secret", name)["stringData"]["zendesk-password"], "not-a-password");
    }
    assert_eq!(bare.deployment()["spec"]["template"]["spec"]["serviceAccountName"], "default");
    let port = list(&bare.gateway()["ports"]).find(|port| port["name"] == "grpc").expect("a port");
    assert_eq!(port["containerPort"], 8443, "the port follows the settings");
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        assert_eq!(bare.gateway()[probe]["httpGet"]["port"], "admin", "{probe}: callers are not in its way");
        // Else a pod that waits for its credential or its issuer would be killed again and again, with its alerts.
        let path = if probe == "readinessProbe" { "/readyz" } else { "/livez" };
        assert_eq!(bare.gateway()[probe]["httpGet"]["path"], path, "{probe}");
    }
}

#[test]
#[ignore = "slow"]
fn every_pod_fits_the_restricted_standard_and_holds_no_token() {
    if !has_helm() {
        return;
    }
    for (name, files) in scenarios() {
        let rendered = render(&files, &json!({}));
        for account in rendered.of("ServiceAccount") {
            assert_eq!(account["automountServiceAccountToken"], false, "{name}");
        }
        for pod in rendered.pods() {
            let spec = &pod["spec"];
            assert_eq!(spec["automountServiceAccountToken"], false, "{name}");
            assert_eq!(spec["securityContext"]["runAsNonRoot"], true, "{name}");
            assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
            for host in ["hostNetwork", "hostPID", "hostIPC"] {
                assert!(spec[host].is_null(), "{name}: {host}");
            }
            for container in list(&spec["containers"]).chain(list(&spec["initContainers"])) {
                let context = &container["securityContext"];
                assert_eq!(context["allowPrivilegeEscalation"], false, "{name}: {container}");
                assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}), "{name}: {container}");
            }
            for volume in list(&spec["volumes"]) {
                let allowed = ["configMap", "secret", "emptyDir", "projected", "downwardAPI", "csi", "ephemeral"];
                assert!(allowed.iter().any(|kind| volume.get(kind).is_some()), "{name}: {volume}");
            }
            if let Some(gateway) = list(&spec["containers"]).find(|container| container["name"] != "renew-secrets") {
                assert_eq!(gateway["securityContext"]["readOnlyRootFilesystem"], true, "{name}");
            }
        }
    }
}

#[test]
#[ignore = "slow"]
fn no_folder_is_mounted_within_another_and_no_file_alone() {
    if !has_helm() {
        return;
    }
    for (name, files) in scenarios() {
        let rendered = render(&files, &json!({}));
        for pod in rendered.pods() {
            let volumes: BTreeSet<_> =
                list(&pod["spec"]["volumes"]).map(|volume| &volume["name"]).map(Value::to_string).collect();
            for container in list(&pod["spec"]["containers"]) {
                let mounts: Vec<&Value> = list(&container["volumeMounts"]).collect();
                for mount in &mounts {
                    assert!(volumes.contains(&mount["name"].to_string()), "{name}: no volume {}", mount["name"]);
                    assert!(mount["subPath"].is_null(), "{name}: a rotation would not arrive: {mount}");
                    let path = format!("{}/", mount["mountPath"].as_str().expect("a path"));
                    let within = mounts.iter().filter_map(|other| other["mountPath"].as_str());
                    assert_eq!(
                        within.filter(|other| format!("{other}/").starts_with(&path)).count(),
                        1,
                        "{name}: {path}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_change_of_settings_or_of_the_charts_own_secret_replaces_the_pods_and_nothing_else_does() {
    if !has_helm() {
        return;
    }
    let files = [scenario("password")];
    let annotations =
        |values: Value| render(&files, &values).deployment()["spec"]["template"]["metadata"]["annotations"].clone();
    let before = annotations(json!({}));
    assert_eq!(before, annotations(json!({"replicaCount": 4, "service": {"port": 8000}})));
    let settings = annotations(json!({"config": {"cache": {"max_bytes": 1000}}}));
    assert_ne!(before["zendesk-gateway/config"], settings["zendesk-gateway/config"]);
    assert_eq!(before["checksum/secret"], settings["checksum/secret"]);
    let secret = annotations(json!({"secret": {"data": {"zendesk-password": "another"}}}));
    assert_eq!(before["zendesk-gateway/config"], secret["zendesk-gateway/config"]);
    assert_ne!(before["checksum/secret"], secret["checksum/secret"]);
}

#[test]
fn services_and_budget_select_the_gateways_pods_and_not_the_tests() {
    if !has_helm() {
        return;
    }
    let rendered = render(&[scenario("network-policy")], &json!({"podMonitor": {"enabled": true}}));
    let matches = |selector: &Value, labels: &Value| {
        selector.as_object().expect("labels").iter().all(|(key, value)| labels[key] == *value)
    };
    let [gateway, test, check] = rendered.pods().try_into().expect("three pods");
    let mut selectors = vec![
        &rendered.deployment()["spec"]["selector"]["matchLabels"],
        &rendered.one("PodDisruptionBudget", FULL_NAME)["spec"]["selector"]["matchLabels"],
        &rendered.one("NetworkPolicy", FULL_NAME)["spec"]["podSelector"]["matchLabels"],
        &rendered.one("PodMonitor", FULL_NAME)["spec"]["selector"]["matchLabels"],
    ];
    selectors.extend(rendered.of("Service").map(|service| &service["spec"]["selector"]));
    for selector in selectors {
        assert!(matches(selector, &gateway["metadata"]["labels"]), "{selector}");
        assert!(!matches(selector, &test["metadata"]["labels"]), "{selector}");
        assert!(!matches(selector, &check["metadata"]["labels"]), "{selector}");
    }
    let monitored = render(&[scenario("monitoring")], &json!({}));
    let selector = &monitored.one("ServiceMonitor", FULL_NAME)["spec"]["selector"]["matchLabels"];
    let found: Vec<_> =
        monitored.of("Service").filter(|service| matches(selector, &service["metadata"]["labels"])).collect();
    assert_eq!(found.len(), 1, "every pod is scraped once");
    assert!(list(&found[0]["spec"]["ports"]).any(|port| port["name"] == "admin"));
    assert_eq!(found[0]["spec"]["clusterIP"], "None");
}

#[test]
#[ignore = "slow"]
fn pods_elect_a_leader_where_there_may_be_two_and_may_do_no_more_than_that_takes() {
    if !has_helm() {
        return;
    }
    let elects = |values: Value| render(&[scenario("api-token")], &values).of("Lease").count() == 1;
    assert!(elects(json!({})) && elects(json!({"replicaCount": 1, "fleet": {"mode": "kubernetes"}})));
    assert!(elects(json!({"replicaCount": 1, "autoscaling": {"enabled": true}})));
    for off in
        [json!({"replicaCount": 1}), json!({"fleet": {"mode": "off"}}), json!({"config": {"fleet": {"mode": "off"}}})]
    {
        assert!(!elects(off.clone()), "{off}");
        let rendered = render(&[scenario("api-token")], &off);
        assert_eq!(rendered.of("Role").count() + rendered.of("RoleBinding").count(), 0, "{off}");
        assert!(list(&rendered.gateway()["ports"]).all(|port| port["name"] != "fleet"), "{off}");
    }
    let rendered = render(
        &[scenario("api-token")],
        &json!({"fleet": {"port": 6000}, "config": {"fleet": {"alone_after": "20s"}}}),
    );
    let lease = rendered.one("Lease", FULL_NAME);
    assert!(lease["spec"].is_null(), "who leads is not the chart's to say");
    let rules = &rendered.one("Role", FULL_NAME)["rules"];
    let wanted = json!([{
        "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": [FULL_NAME], "verbs": ["get", "update"],
    }]);
    assert_eq!(*rules, wanted);
    let deployment = rendered.deployment();
    let pod = &deployment["spec"]["template"]["spec"];
    let subject = &rendered.one("RoleBinding", FULL_NAME)["subjects"][0];
    assert_eq!((&subject["kind"], &subject["name"]), (&json!("ServiceAccount"), &pod["serviceAccountName"]));
    for part in ["mode = \"kubernetes\"", "listen = \"0.0.0.0:6000\"", "alone_after = \"20s\""] {
        assert!(rendered.toml().contains(part), "{part}: {}", rendered.toml());
    }
    let audiences: Vec<&Value> = list(&pod["volumes"])
        .flat_map(|volume| list(&volume["projected"]["sources"]))
        .map(|source| &source["serviceAccountToken"]["audience"])
        .filter(|audience| !audience.is_null())
        .collect();
    assert_eq!(audiences.len(), 1, "the fleet's own");
    for other in rendered.pods().into_iter().filter(|other| other["spec"]["containers"] != pod["containers"]) {
        assert!(list(&other["spec"]["volumes"]).all(|volume| volume["projected"].is_null()), "it only serves: {other}");
    }
}

#[test]
fn whoever_scales_sets_the_number_of_pods_alone() {
    if !has_helm() {
        return;
    }
    for name in ["autoscaling", "keda"] {
        assert!(render(&[scenario(name)], &json!({})).deployment()["spec"]["replicas"].is_null(), "{name}");
    }
    let keda = render(&[scenario("keda")], &json!({}));
    let query = &keda.one("ScaledObject", FULL_NAME)["spec"]["triggers"][0]["metadata"]["query"];
    assert_eq!(query, r#"sum(zendesk_gateway_calls_active{namespace="support"})"#, "templates are filled in");
    let plain = render(&[scenario("api-token")], &json!({"replicaCount": 5}));
    assert_eq!(plain.deployment()["spec"]["replicas"], 5);
    let spread = &plain.deployment()["spec"]["template"]["spec"]["topologySpreadConstraints"];
    assert_eq!(spread[0]["labelSelector"]["matchLabels"], plain.deployment()["spec"]["selector"]["matchLabels"]);
}

#[test]
fn the_network_policy_opens_the_ports_that_the_settings_name() {
    if !has_helm() {
        return;
    }
    let rendered = render(&[scenario("network-policy")], &json!({}));
    let spec = &rendered.one("NetworkPolicy", FULL_NAME)["spec"];
    let ports = |rule: &Value| list(&rule["ports"]).filter_map(|port| port["port"].as_u64()).collect::<Vec<_>>();
    let ingress: Vec<_> = list(&spec["ingress"]).map(ports).collect();
    assert_eq!(ingress, [vec![50051], vec![9090], vec![50052], vec![]]);
    let replicas = &spec["podSelector"];
    assert_eq!(spec["ingress"][2]["from"], json!([{"podSelector": replicas}]), "nobody but the replicas themselves");
    assert_eq!(list(&spec["ingress"][0]["from"]).count(), 2, "the callers, and the test pod");
    let egress: Vec<_> = list(&spec["egress"]).map(ports).collect();
    let names = vec![53, 53, 5353, 5353];
    let wanted = [names, vec![8443, 4317], vec![50052], vec![443, 6443], vec![3128]];
    assert_eq!(egress, wanted, "names, Zendesk and the collector, the replicas, the API server, the extra");
    let proxied = json!([{"name": "https_proxy", "value": "http://proxy.example.com:3128"}, {"name": "NO_PROXY", "value": "x:1"}]);
    let proxied = json!({"networkPolicy": {"enabled": true}, "extraEnv": proxied});
    let spec = render(&[scenario("api-token")], &proxied).one("NetworkPolicy", FULL_NAME)["spec"].clone();
    assert_eq!(ports(&spec["egress"][1]), [443, 3128], "a proxy's port");
    let plain = render(&[scenario("api-token")], &json!({"networkPolicy": {"enabled": true}}));
    let spec = &plain.one("NetworkPolicy", FULL_NAME)["spec"];
    assert_eq!(ports(&spec["egress"][1]), [443]);
    assert!(spec["ingress"][0]["from"].is_null(), "nobody named: everybody");
    assert_eq!(
        list(&spec["ingress"]).map(ports).collect::<Vec<_>>(),
        [[50051], [50052]],
        "nobody named: the admin port stays closed"
    );
}

#[test]
fn alerts_and_dashboard_are_those_of_the_repository() {
    if !has_helm() {
        return;
    }
    let rendered = render(&[scenario("monitoring")], &json!({}));
    let file = std::fs::read_to_string(root().join("helm/rules/zendesk-gateway.yaml")).expect("the rules");
    let file: Value = serde_yaml_ng::from_str(&file).expect("YAML");
    let spec = &rendered.one("PrometheusRule", FULL_NAME)["spec"];
    let wanted = list(&file["groups"][0]["rules"]).filter(|rule| rule["alert"] != "ZendeskGatewayCacheCold");
    let wanted: Vec<&Value> = wanted.collect();
    for (rule, wanted) in list(&spec["groups"][0]["rules"]).zip(&wanted) {
        let expression = wanted["expr"].as_str().expect("an expression");
        let narrowed = expression.replace(r#"job=~".+""#, r#"namespace="support",job="shop""#);
        assert_eq!((&rule["alert"], &rule["for"]), (&wanted["alert"], &wanted["for"]));
        assert_eq!(rule["expr"].as_str(), Some(&*narrowed));
        assert_eq!(narrowed.matches('{').count(), narrowed.matches(r#"job="shop""#).count(), "{narrowed}");
        if wanted["record"].is_string() {
            continue;
        }
        assert_eq!(rule["labels"]["team"], "support-platform");
        assert_eq!(rule["labels"]["severity"], wanted["labels"]["severity"]);
        let runbook = wanted["annotations"]["runbook_url"].as_str().expect("a runbook");
        let url = format!("https://git.example.com/zendesk-gateway/blob/main/{runbook}");
        assert_eq!(rule["annotations"]["runbook_url"], url);
    }
    assert_eq!(list(&spec["groups"][0]["rules"]).count(), wanted.len());
    let dashboard = rendered.one("ConfigMap", &format!("{FULL_NAME}-dashboard"));
    let kept = dashboard["data"]["zendesk-gateway.json"].as_str().expect("the dashboard");
    let mut kept: Value = serde_json::from_str(kept).expect("the dashboard is JSON");
    let own = std::fs::read_to_string(root().join("helm/dashboards/zendesk-gateway.json")).expect("the dashboard");
    let own: Value = serde_json::from_str(&own).expect("the dashboard is JSON");
    assert_ne!(kept["uid"], own["uid"], "Grafana keeps one dashboard for each uid");
    assert_eq!(kept["title"], "Zendesk gateway support/shop");
    (kept["uid"], kept["title"]) = (own["uid"].clone(), own["title"].clone());
    assert_eq!(kept, own);

    let mut probe = Command::new("promtool");
    probe.arg("--version");
    if is_installed("promtool (Debian package prometheus)", probe) {
        let rules = tempfile::Builder::new().suffix(".json").tempfile().expect("a temporary file");
        std::fs::write(rules.path(), spec.to_string()).expect("it can be written");
        let checked = Command::new("promtool").args(["check", "rules"]).arg(rules.path()).output().expect("it starts");
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
}

#[test]
fn thresholds_severities_and_rules_can_be_ones_own() {
    if !has_helm() {
        return;
    }
    let values = json!({"prometheusRule": {
        "runbookBase": "",
        "thresholds": {"callsFailFast": 0.2, "callsFailAtLeast": 500},
        "severities": {"ZendeskGatewayCallsFail": "page"},
        "extraRules": [{"alert": "Ours", "expr": "up{job=\"{{ .Release.Name }}\"} == 0"}],
    }});
    let rendered = render(&[scenario("monitoring")], &values);
    let rules = &rendered.one("PrometheusRule", FULL_NAME)["spec"]["groups"][0]["rules"];
    let named = |name: &str| list(rules).find(|rule| rule["alert"] == name).expect("the alert");
    let expression = named("ZendeskGatewayCallsFail")["expr"].as_str().expect("an expression");
    assert_eq!(expression.matches("> 0.2 # callsFailFast").count(), 2, "{expression}");
    assert!(expression.contains("> 500 # callsFailAtLeast"), "{expression}");
    assert_eq!(named("ZendeskGatewayCallsFail")["labels"]["severity"], "page");
    assert!(
        named("ZendeskGatewayCallsFailSlowly")["expr"]
            .as_str()
            .is_some_and(|text| text.contains("500 # callsFailAtLeast"))
    );
    assert!(list(rules).all(|rule| rule["annotations"]["runbook_url"].is_null()), "no link is better than half of one");
    assert_eq!(named("Ours")["expr"], "up{job=\"shop\"} == 0", "templates are filled in");
}

#[test]
#[ignore = "slow"]
fn the_settings_travel_with_each_pod() {
    if !has_helm() {
        return;
    }
    for (name, files) in scenarios() {
        let rendered = render(&files, &json!({}));
        for pod in rendered.pods() {
            assert_eq!(settings_of(pod), rendered.toml(), "{name}");
            let config = list(&pod["spec"]["volumes"]).find(|volume| volume["name"] == "config").expect("a volume");
            let item = &config["downwardAPI"]["items"][0];
            assert_eq!(item["fieldRef"]["fieldPath"], "metadata.annotations['zendesk-gateway/config']", "{name}");
        }
    }
}

#[test]
fn settings_are_checked_before_anything_changes_with_all_that_the_gateway_would_have() {
    if !has_helm() {
        return;
    }
    let check = |name: &str, values: Value| {
        let rendered = render(&[scenario(name)], &values);
        rendered.of("Job").next().expect("the check").clone()
    };
    let hooks = |job: &Value| job["metadata"]["annotations"]["helm.sh/hook"].clone();
    let job = check("extras", json!({"test": {"annotations": {"vault.example.com/inject": "init"}}}));
    assert_eq!(hooks(&job), "pre-upgrade", "its volumes may be the release's own objects");
    assert_eq!(
        (&job["spec"]["backoffLimit"], &job["spec"]["template"]["spec"]["restartPolicy"]),
        (&json!(0), &json!("Never"))
    );
    let pod = &job["spec"]["template"];
    assert_eq!(
        pod["metadata"]["annotations"]["vault.example.com/inject"], "init",
        "the pod's own, but the test's first"
    );
    assert_eq!(pod["spec"]["initContainers"][0]["name"], "fetch-secrets");
    let settings = container(pod, "settings");
    assert!(list(&settings["env"]).any(|variable| variable["name"] == "SSL_CERT_FILE"));
    assert_eq!(settings["envFrom"][0]["configMapRef"]["name"], "proxies");
    assert!(settings["resources"]["limits"]["cpu"].is_string(), "a quota asks for limits");
    // What the chart itself makes is not there yet: the Secret comes along, the certificate cannot.
    let job = check("password", json!({}));
    assert_eq!(hooks(&job), "pre-install,pre-upgrade");
    let secret = list(&job["spec"]["template"]["spec"]["volumes"]).find(|volume| volume["name"] == "secret");
    assert_eq!(secret.expect("a volume")["secret"]["secretName"], "trial-check");
    let issued = json!({"tls": {"certificate": {"enabled": true, "issuerRef": {"name": "ca"}}}});
    assert_eq!(hooks(&check("api-token", issued)), "pre-upgrade");
    let without = render(&[scenario("api-token")], &json!({"check": {"enabled": false}}));
    assert_eq!(without.of("Job").count(), 0);
}

#[test]
fn what_a_parent_chart_sets_for_all_is_taken() {
    if !has_helm() {
        return;
    }
    let global =
        json!({"imageRegistry": "mirror.example.com/", "imagePullSecrets": ["all", {"name": "registry"}], "other": 1});
    let rendered = render(&[scenario("extras")], &json!({"enabled": true, "global": global}));
    let image = rendered.gateway()["image"].as_str().expect("an image");
    assert!(image.starts_with("mirror.example.com/support/zendesk-gateway@sha256:"), "{image}");
    for pod in rendered.pods() {
        assert_eq!(pod["spec"]["imagePullSecrets"], json!([{"name": "all"}, {"name": "registry"}]));
    }
    let test = rendered.of("Pod").next().expect("the test's pod");
    assert_eq!(container(test, "health")["image"], "mirror.example.com/fullstorydev/grpcurl:v1.9.3");
    let elsewhere = render(&[scenario("api-token")], &json!({"namespaceOverride": "elsewhere"}));
    assert!(
        elsewhere.objects.iter().all(|object| object["metadata"]["namespace"] == "elsewhere"),
        "{}",
        elsewhere.yaml
    );
    assert!(elsewhere.toml().contains("-headless.elsewhere.svc"), "{}", elsewhere.toml());
}

#[test]
fn services_and_rollouts_take_what_their_makers_offer() {
    if !has_helm() {
        return;
    }
    let service = json!({
        "type": "LoadBalancer", "nodePort": 30051, "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Cluster",
        "ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv6", "IPv4"], "loadBalancerClass": "example.com/inner",
        "loadBalancerIP": "10.0.0.9", "loadBalancerSourceRanges": ["10.0.0.0/8"],
    });
    let values = json!({
        "service": service, "replicaCount": 0, "strategy": {"type": "Recreate"}, "minReadySeconds": 7,
        "progressDeadlineSeconds": 99, "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
        "extraEnv": [{"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "team=a"}, {"name": "NODE_NAME", "value": "n"}],
    });
    let rendered = render(&[scenario("api-token")], &values);
    let spec = &rendered.one("Service", FULL_NAME)["spec"];
    for (key, value) in service.as_object().expect("values").iter().filter(|(key, _)| *key != "nodePort") {
        assert_eq!(&spec[key], value, "{key}");
    }
    assert_eq!(spec["ports"][0]["nodePort"], 30051);
    let headless = &rendered.one("Service", &format!("{FULL_NAME}-headless"))["spec"];
    assert_eq!(headless["ipFamilies"], json!(["IPv6", "IPv4"]));
    let spec = &rendered.deployment()["spec"];
    assert_eq!(spec["replicas"], 0, "switched off");
    assert_eq!(spec["strategy"], json!({"type": "Recreate"}));
    assert_eq!((&spec["minReadySeconds"], &spec["progressDeadlineSeconds"]), (&json!(7), &json!(99)));
    let gateway = rendered.gateway();
    assert_eq!(gateway["lifecycle"]["preStop"]["sleep"]["seconds"], 1);
    let of = |name: &str| {
        list(&gateway["env"]).filter(|it| it["name"] == name).map(|it| it["value"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(of("NODE_NAME"), ["n"], "a name stands once");
    let attributes = of("OTEL_RESOURCE_ATTRIBUTES");
    assert_eq!(attributes, ["k8s.namespace.name=support,k8s.pod.name=$(POD_NAME),k8s.node.name=$(NODE_NAME),team=a"]);
}

#[test]
fn hooks_arrive_where_they_belong() {
    if !has_helm() {
        return;
    }
    let rendered = render(&[scenario("extras")], &json!({"extraArgs": ["--help"]}));
    let gateway = rendered.gateway();
    let digest = "0123456789abcdef".repeat(4);
    let image = format!("registry.example.com/support/zendesk-gateway@sha256:{digest}");
    assert_eq!(gateway["image"], image, "a digest wins");
    assert_eq!(list(&gateway["args"]).last(), Some(&json!("--help")));
    let test = rendered.of("Pod").next().expect("the test's pod");
    assert!(list(&container(test, "health")["args"]).any(|arg| arg == "-v"));
    assert!(list(&gateway["env"]).any(|variable| variable["name"] == "SSL_CERT_FILE"));
    assert_eq!(gateway["envFrom"][0]["configMapRef"]["name"], "proxies");
    let pod = &rendered.deployment()["spec"]["template"];
    container(pod, "renew-secrets");
    assert_eq!(pod["spec"]["initContainers"][0]["args"][0], "--role=shop", "templates are filled in");
    for (key, value) in [
        ("priorityClassName", json!("high")),
        ("runtimeClassName", json!("gvisor")),
        ("dnsPolicy", json!("ClusterFirst")),
        ("serviceAccountName", json!("zendesk-gateway-vault")),
        ("imagePullSecrets", json!([{"name": "registry"}])),
        ("nodeSelector", json!({"kubernetes.io/arch": "arm64"})),
    ] {
        assert_eq!(pod["spec"][key], value, "{key}");
    }
    assert_eq!(pod["metadata"]["labels"]["tier"], "gateway");
    assert_eq!(rendered.one("ConfigMap", "shop-proxies")["data"]["HTTPS_PROXY"], "http://proxy.example.com:3128");
    rendered.one("ConfigMap", "shop-zendesk-text");
    assert!(
        rendered.toml().contains(r#"token_file = "/vault/secrets/zendesk-token""#),
        "what is set is not overridden"
    );
    for object in &rendered.objects {
        let chart = object["metadata"]["labels"]["helm.sh/chart"].is_string();
        assert!(!chart || object["metadata"]["annotations"]["owner"] == "support-platform", "{object}");
    }
    let sandbox =
        render(&[scenario("sandbox")], &json!({"image": {"tag": "1.2", "digest": format!("sha256:{digest}")}}));
    assert_eq!(sandbox.gateway()["image"], "zendesk-gateway:1.2-sandbox", "a digest would be that of another image");
}

#[test]
fn names_stay_within_what_kubernetes_takes_and_old_clusters_are_refused() {
    if !has_helm() {
        return;
    }
    let long = "n".repeat(80);
    let rendered = render(&[scenario("api-token")], &json!({"fullnameOverride": long}));
    for object in &rendered.objects {
        assert!(object["metadata"]["name"].as_str().is_some_and(|name| name.len() <= 63), "{}", object["metadata"]);
    }
    assert!(try_render(&[scenario("api-token")], &json!({})).is_ok());
    let old = helm(&["template", "shop", "helm", "--kube-version", "1.26.0"], &[scenario("api-token")], &json!({}));
    assert!(!old.success && old.stderr.contains("kubeVersion: >=1.27.0-0"), "{}", old.stderr);
}

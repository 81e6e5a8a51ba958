{{/*
Refuses values that are well-formed each but do not work together. The binary refuses its own such mistakes, too, but only once its
pod has started; here nothing has changed yet. All are collected, so that one look is enough.
*/}}
{{- define "zendesk-gateway.guards" -}}
{{- $mistakes := concat
  (include "zendesk-gateway.guards.scaling" . | fromJsonArray)
  (include "zendesk-gateway.guards.drain" . | fromJsonArray)
  (include "zendesk-gateway.guards.ports" . | fromJsonArray)
  (include "zendesk-gateway.guards.upstream" . | fromJsonArray)
  (include "zendesk-gateway.guards.identity" . | fromJsonArray)
  (include "zendesk-gateway.guards.fleet" . | fromJsonArray)
  (include "zendesk-gateway.guards.objects" . | fromJsonArray)
  (include "zendesk-gateway.guards.cluster" . | fromJsonArray) -}}
{{- if $mistakes -}}
{{- fail (printf "these values do not work:\n  - %s" (join "\n  - " $mistakes)) -}}
{{- end -}}
{{- end -}}

{{- define "zendesk-gateway.guards.scaling" -}}
{{- $found := list -}}
{{- $hpa := .Values.autoscaling -}}
{{- $keda := .Values.keda -}}
{{- $budget := .Values.podDisruptionBudget -}}
{{- if and $hpa.enabled $keda.enabled -}}
{{- $found = append $found "keda.enabled: autoscaling.enabled is set too; two scalers would fight over the number of pods" -}}
{{- end -}}
{{- if and $hpa.enabled (gt (int $hpa.minReplicas) (int $hpa.maxReplicas)) -}}
{{- $found = append $found "autoscaling.minReplicas: is more than autoscaling.maxReplicas" -}}
{{- end -}}
{{- if and $hpa.enabled (not $hpa.targetCPUUtilizationPercentage) (not $hpa.targetActiveCalls) (not $hpa.metrics) -}}
{{- $found = append $found "autoscaling.metrics: nothing to follow; set it, autoscaling.targetActiveCalls or autoscaling.targetCPUUtilizationPercentage" -}}
{{- end -}}
{{- if and $keda.enabled (gt (int $keda.minReplicaCount) (int $keda.maxReplicaCount)) -}}
{{- $found = append $found "keda.minReplicaCount: is more than keda.maxReplicaCount" -}}
{{- end -}}
{{- if and $keda.enabled (not $keda.triggers) -}}
{{- $found = append $found "keda.triggers: KEDA needs at least one" -}}
{{- end -}}
{{- if $budget.enabled -}}
{{- $min := $budget.minAvailable -}}
{{- $max := $budget.maxUnavailable -}}
{{- if not (or (kindIs "invalid" $min) (kindIs "invalid" $max)) -}}
{{- $found = append $found "podDisruptionBudget.maxUnavailable: podDisruptionBudget.minAvailable is set too; keep one" -}}
{{- end -}}
{{- $fewest := .Values.replicaCount -}}
{{- if $hpa.enabled -}}{{- $fewest = $hpa.minReplicas -}}{{- else if $keda.enabled -}}{{- $fewest = $keda.minReplicaCount -}}{{- end -}}
{{- $stay := 0 -}}
{{- if kindIs "string" $min -}}
{{- $stay = ceil (divf (mulf (trimSuffix "%" $min | float64) (float64 $fewest)) 100) | int -}}
{{- else if not (kindIs "invalid" $min) -}}
{{- $stay = int $min -}}
{{- end -}}
{{- if and $stay (gt (int $fewest) 0) (ge $stay (int $fewest)) -}}
{{- $found = append $found (printf "podDisruptionBudget.minAvailable: with %v of %v pods no node can ever be drained" $min $fewest) -}}
{{- end -}}
{{- if has (toString $max) (list "0" "0%") -}}
{{- $found = append $found "podDisruptionBudget.maxUnavailable: with 0 no node can ever be drained" -}}
{{- end -}}
{{- end -}}
{{- $limit := dig "limits" "memory" "" .Values.resources | toString -}}
{{- if $limit -}}
{{- $cache := include "zendesk-gateway.bytes" (dig "cache" "max_bytes" "64Mi" .Values.config) | int64 -}}
{{- $messages := include "zendesk-gateway.bytes" (dig "server" "message_memory" "40Mi" .Values.config) | int64 -}}
{{- if gt (add $cache $messages) (include "zendesk-gateway.bytes" $limit | int64) -}}
{{- $found = append $found (printf "resources.limits.memory: %s is less than config.cache.max_bytes, %d, and config.server.message_memory, %d, together; Kubernetes would kill the pod" $limit $cache $messages) -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* A number, a quantity such as "512Mi", or a size such as "512 MiB", in bytes. */}}
{{- define "zendesk-gateway.bytes" -}}
{{- if not (kindIs "string" .) -}}
{{- int64 . -}}
{{- else -}}
{{- $text := regexReplaceAll "[ B]" . "" -}}
{{- $units := dict "" 1 "k" 1e3 "K" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $number := regexFind "^[0-9.]+" $text | float64 -}}
{{- mulf $number (get $units (regexFind "[A-Za-z]*$" $text) | default 1 | float64) | int64 -}}
{{- end -}}
{{- end -}}

{{/*
The end of a pod, counted from SIGTERM: for `announce` it still takes calls, the last of which may run for `unary_deadline`; at
`timeout` the gateway cuts what is left and ends; at the grace period Kubernetes kills it, with the last telemetry unsent.
*/}}
{{- define "zendesk-gateway.guards.drain" -}}
{{- $found := list -}}
{{- $server := .Values.config.server -}}
{{- $announce := dig "drain" "announce" "8s" $server -}}
{{- $timeout := dig "drain" "timeout" "45s" $server -}}
{{- $deadline := dig "unary_deadline" "30s" $server -}}
{{- $announced := include "zendesk-gateway.milliseconds" $announce | int64 -}}
{{- $drained := include "zendesk-gateway.milliseconds" $timeout | int64 -}}
{{- $answered := include "zendesk-gateway.milliseconds" $deadline | int64 -}}
{{- $grace := int64 .Values.terminationGracePeriodSeconds -}}
{{- if le (mul 1000 $grace) $drained -}}
{{- $found = append $found (printf "terminationGracePeriodSeconds: %d s is not more than config.server.drain.timeout, %s; Kubernetes would kill the gateway before it has ended" $grace $timeout) -}}
{{- end -}}
{{- if le $drained $announced -}}
{{- $found = append $found (printf "config.server.drain.timeout: %s is not more than config.server.drain.announce, %s" $timeout $announce) -}}
{{- else if lt $drained (add $announced $answered) -}}
{{- $found = append $found (printf "config.server.drain.timeout: %s is less than config.server.drain.announce, %s, and config.server.unary_deadline, %s, together; calls that were accepted would be cut" $timeout $announce $deadline) -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- define "zendesk-gateway.guards.ports" -}}
{{- $found := list -}}
{{- $server := .Values.config.server.listen -}}
{{- $admin := .Values.config.admin.listen -}}
{{- range $key, $address := dict "config.server.listen" $server "config.admin.listen" $admin -}}
{{- if regexMatch "^(127\\.|\\[::1\\])" $address -}}
{{- $found = append $found (printf "%s: nobody outside of the pod reaches %s, not even the probes" $key $address) -}}
{{- end -}}
{{- if lt (include "zendesk-gateway.port" $address | int) 1024 -}}
{{- $found = append $found (printf "%s: the gateway is not root and cannot listen on a port below 1024" $key) -}}
{{- end -}}
{{- end -}}
{{- if eq (include "zendesk-gateway.port" $server) (include "zendesk-gateway.port" $admin) -}}
{{- $found = append $found "config.admin.listen: has the port of config.server.listen" -}}
{{- else if eq (toString (int .Values.service.port)) (include "zendesk-gateway.port" $admin) -}}
{{- $found = append $found "service.port: is the port of config.admin.listen, which is on the headless Service, too" -}}
{{- end -}}
{{- range .Values.extraArgs -}}
{{- $flag := regexFind "^--[a-z-]+" . -}}
{{- $instead := get (dict "--config" "config" "--listen" "config.server.listen" "--sandbox" "sandbox.enabled" "--users" "sandbox.users" "--seed" "sandbox.seed") $flag -}}
{{- if $instead -}}
{{- $found = append $found (printf "extraArgs: %s would override what the chart sets up for %s; set that" $flag $instead) -}}
{{- end -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if regexMatch "^ZENDESK_GATEWAY_(SERVER|ADMIN|IDENTITY|AUTHORIZATION|CALLERS|UPSTREAM|CACHE|FLEET|TELEMETRY|SANDBOX)_" .name -}}
{{- $found = append $found (printf "extraEnv: %s is no setting, and the gateway refuses it; set it in config" .name) -}}
{{- end -}}
{{- if and (hasPrefix "ZENDESK_GATEWAY__" .name) (not (hasPrefix "ZENDESK_GATEWAY__SANDBOX__" .name)) -}}
{{- $found = append $found (printf "extraEnv: %s would override config unchecked; set it in config" .name) -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- define "zendesk-gateway.guards.upstream" -}}
{{- $found := list -}}
{{- $config := include "zendesk-gateway.config" . | fromJson -}}
{{- $upstream := dig "upstream" dict $config -}}
{{- $account := or (hasKey $upstream "subdomain") (hasKey $upstream "base_url") -}}
{{- if .Values.sandbox.enabled -}}
{{- if $account -}}
{{- $found = append $found "sandbox.enabled: answers come from the stand-in, but config.upstream names an account" -}}
{{- end -}}
{{- if or .Values.autoscaling.enabled .Values.keda.enabled (gt (int .Values.replicaCount) 1) -}}
{{- $found = append $found "sandbox.enabled: each pod would hold users of its own; set replicaCount to 1, without autoscaling or keda" -}}
{{- end -}}
{{- else -}}
{{- if not $account -}}
{{- $found = append $found "config.upstream.subdomain: not set; name the account, or set config.upstream.base_url, or sandbox.enabled for a demo" -}}
{{- end -}}
{{- if and (hasKey $upstream "subdomain") (hasKey $upstream "base_url") -}}
{{- $found = append $found "config.upstream.base_url: config.upstream.subdomain is set too; keep one" -}}
{{- end -}}
{{- $credential := dig "credential" dict $upstream -}}
{{- $kind := dig "kind" "" $credential -}}
{{- if not $kind -}}
{{- $found = append $found "config.upstream.credential.kind: not set; it says how the gateway signs in at Zendesk" -}}
{{- end -}}
{{- $file := get (dict "api_token" "token_file" "oauth_token" "token_file" "password" "password_file" "oauth_client" "client_secret_file") $kind -}}
{{- if and $file (not (hasKey $credential $file)) -}}
{{- $found = append $found (printf "secret.existingSecret: not set, and config.upstream.credential.kind %s needs a file; set it, or secret.data, or config.upstream.credential.%s" $kind $file) -}}
{{- end -}}
{{- if and .Values.secret.data $file (hasPrefix .Values.secret.mountPath (dig $file "" $credential)) -}}
{{- $key := base (get $credential $file) -}}
{{- if not (hasKey .Values.secret.data $key) -}}
{{- $found = append $found (printf "secret.data: has no key %s, which config.upstream.credential.kind %s reads" $key $kind) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.secret.existingSecret .Values.secret.data -}}
{{- $found = append $found "secret.data: secret.existingSecret is set too; keep one" -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- define "zendesk-gateway.guards.identity" -}}
{{- $found := list -}}
{{- $config := include "zendesk-gateway.config" . | fromJson -}}
{{- $methods := dig "identity" "methods" list $config -}}
{{- if not $methods -}}
{{- $found = append $found "config.identity.methods: not set; name certificate, jwt or api_key, or [none] if whoever reaches the pods may call" -}}
{{- end -}}
{{- if and (has "none" $methods) (gt (len $methods) 1) -}}
{{- $found = append $found "config.identity.methods: none cannot be combined with others" -}}
{{- end -}}
{{- if and $methods (not (has "none" $methods)) (not (dig "authorization" "rules" list $config)) -}}
{{- $found = append $found "config.authorization.rules: not set, so no caller may do anything" -}}
{{- end -}}
{{- if and (has "certificate" $methods) (not (dig "server" "tls" "client_ca_file" "" $config)) -}}
{{- $found = append $found "config.server.tls.client_ca_file: not set, and config.identity.methods has certificate" -}}
{{- end -}}
{{- if and .Values.tls.certificate.enabled .Values.tls.existingSecret -}}
{{- $found = append $found "tls.existingSecret: tls.certificate.enabled is set too; keep one" -}}
{{- end -}}
{{- if and .Values.tls.certificate.enabled (not (dig "name" "" .Values.tls.certificate.issuerRef)) -}}
{{- $found = append $found "tls.certificate.issuerRef: has no name; cert-manager needs to know who signs" -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- define "zendesk-gateway.guards.fleet" -}}
{{- $found := list -}}
{{- if include "zendesk-gateway.elects" . -}}
{{- $settings := dig "fleet" dict .Values.config -}}
{{- if eq (include "zendesk-gateway.serviceAccountName" .) "default" -}}
{{- $found = append $found "serviceAccount.name: every pod of the namespace has the account default, and pods of a fleet know each other by theirs; name another one, set serviceAccount.create, or set fleet.mode to off" -}}
{{- end -}}
{{- if .Values.sandbox.enabled -}}
{{- $found = append $found "fleet.mode: sandbox.enabled is set, so there is one pod, with users of its own" -}}
{{- end -}}
{{- if has (dig "mode" "" $settings) (list "off" "static") -}}
{{- $found = append $found (printf "fleet.mode: config.fleet.mode is %s; keep one" $settings.mode) -}}
{{- end -}}
{{- $ports := list (include "zendesk-gateway.port" .Values.config.server.listen) (include "zendesk-gateway.port" .Values.config.admin.listen) -}}
{{- if has (toString (int .Values.fleet.port)) $ports -}}
{{- $found = append $found "fleet.port: is the port of config.server.listen or config.admin.listen" -}}
{{- end -}}
{{- if lt (int .Values.fleet.port) 1024 -}}
{{- $found = append $found "fleet.port: the gateway is not root and cannot listen on a port below 1024" -}}
{{- end -}}
{{- else if eq (dig "fleet" "mode" "" .Values.config) "kubernetes" -}}
{{- $found = append $found "config.fleet.mode: the pods have what they need for kubernetes only with fleet.mode; set that" -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- define "zendesk-gateway.guards.objects" -}}
{{- $found := list -}}
{{- range $name := keys .Values.prometheusRule.alertLabels | sortAlpha -}}
{{- if not (regexMatch "^[a-zA-Z_][a-zA-Z0-9_]*$" $name) -}}
{{- $found = append $found (printf "prometheusRule.alertLabels: %q is no name of a label (letters, digits and _); Prometheus would load none of the rules" $name) -}}
{{- else if has $name (list "alertname" "job" "namespace" "severity") -}}
{{- $found = append $found (printf "prometheusRule.alertLabels: %s is set by the rules, which find each other's alerts by it; severities has the severities" $name) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled -}}
{{- $found = append $found "podMonitor.enabled: serviceMonitor.enabled is set too; every series would be there twice" -}}
{{- end -}}
{{- if and .Values.grpcRoute.enabled (not .Values.grpcRoute.parentRefs) -}}
{{- $found = append $found "grpcRoute.parentRefs: a GRPCRoute without a Gateway routes nothing" -}}
{{- end -}}
{{- range $key, $labels := dict "commonLabels" .Values.commonLabels "podLabels" .Values.podLabels -}}
{{- range $label, $_ := $labels -}}
{{- if regexMatch "^(app\\.kubernetes\\.io/(name|instance|component|version|managed-by)|helm\\.sh/chart)$" $label -}}
{{- $found = append $found (printf "%s: %s is the chart's own; pods are selected by such labels" $key $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.prometheusRule.runbookBase -}}
{{- if not (regexMatch "^https?://[^ ]+$" .) -}}
{{- $found = append $found (printf "prometheusRule.runbookBase: %q is no URL" .) -}}
{{- end -}}
{{- end -}}
{{- range $key, $monitor := dict "serviceMonitor" .Values.serviceMonitor "podMonitor" .Values.podMonitor -}}
{{- with $monitor.interval -}}
{{- if gt (include "zendesk-gateway.milliseconds" . | int64) 120000 -}}
{{- $found = append $found (printf "%s.interval: %s is more than 2m, and the alerts look at five minutes" $key .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $alerts := list -}}
{{- $rules := .Files.Get "rules/zendesk-gateway.yaml" -}}
{{- range (fromYaml $rules).groups -}}
{{- range .rules -}}{{- $alerts = append $alerts (dig "alert" "" .) -}}{{- end -}}
{{- end -}}
{{- range .Values.prometheusRule.disabled -}}
{{- if not (has . $alerts) -}}
{{- $found = append $found (printf "prometheusRule.disabled: there is no alert %s" .) -}}
{{- end -}}
{{- end -}}
{{- range $alert, $_ := .Values.prometheusRule.severities -}}
{{- if not (has $alert $alerts) -}}
{{- $found = append $found (printf "prometheusRule.severities: there is no alert by the name of %s" $alert) -}}
{{- end -}}
{{- end -}}
{{- range $name, $threshold := .Values.prometheusRule.thresholds -}}
{{- if and (has $name (list "callsFailFast" "callsFailSlow" "cacheColdShare" "descriptorsShare")) (or (le (float64 $threshold) 0.0) (gt (float64 $threshold) 1.0)) -}}
{{- $found = append $found (printf "prometheusRule.thresholds.%s: is %v, and must be a share above 0 and at most 1" $name $threshold) -}}
{{- end -}}
{{- if and (has $name (list "credentialEndsSeconds" "certificateEndsSeconds")) (lt (float64 $threshold) 3600.0) -}}
{{- $found = append $found (printf "prometheusRule.thresholds.%s: is %v seconds, and must be an hour at least" $name $threshold) -}}
{{- end -}}
{{- if not (regexMatch (printf "[0-9.]+ # %s\n" (regexQuoteMeta $name)) $rules) -}}
{{- $found = append $found (printf "prometheusRule.thresholds: there is no threshold %s" $name) -}}
{{- end -}}
{{- end -}}
{{- $scraped := or .Values.serviceMonitor.enabled .Values.podMonitor.enabled -}}
{{- if and $scraped .Values.networkPolicy.enabled (not .Values.networkPolicy.adminFrom) (not .Values.networkPolicy.extraIngress) -}}
{{- $found = append $found "networkPolicy.adminFrom: empty, so Prometheus cannot reach the admin port that serviceMonitor or podMonitor has it scrape" -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* What the cluster would refuse in the middle of an upgrade, after the hook, or what would never do anything there. */}}
{{- define "zendesk-gateway.guards.cluster" -}}
{{- $found := list -}}
{{- $none := list "0" "0%" -}}
{{- $rolling := dig "rollingUpdate" dict .Values.strategy | default dict -}}
{{- if and (has (toString (get $rolling "maxSurge")) $none) (has (toString (get $rolling "maxUnavailable")) $none) -}}
{{- $found = append $found "strategy.rollingUpdate.maxSurge: is 0, as maxUnavailable is; no pod could ever be replaced" -}}
{{- end -}}
{{- if ge (int .Values.minReadySeconds) (int .Values.progressDeadlineSeconds) -}}
{{- $found = append $found (printf "minReadySeconds: %d is not less than progressDeadlineSeconds, %d; every rollout would count as failed" (int .Values.minReadySeconds) (int .Values.progressDeadlineSeconds)) -}}
{{- end -}}
{{- $requests := dig "requests" dict .Values.resources | default dict -}}
{{- $limits := dig "limits" dict .Values.resources | default dict -}}
{{- range $what := list "cpu" "memory" -}}
{{- if and (get $requests $what) (get $limits $what) -}}
{{- if gt (include "zendesk-gateway.amount" (get $requests $what) | int64) (include "zendesk-gateway.amount" (get $limits $what) | int64) -}}
{{- $found = append $found (printf "resources.requests.%s: %v is more than resources.limits.%s, %v" $what (get $requests $what) $what (get $limits $what)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled .Values.autoscaling.targetCPUUtilizationPercentage (not (get $requests "cpu")) -}}
{{- $found = append $found "autoscaling.targetCPUUtilizationPercentage: is a share of resources.requests.cpu, which is not set" -}}
{{- end -}}
{{- $certificate := .Values.tls.certificate -}}
{{- if and $certificate.enabled (ge (include "zendesk-gateway.milliseconds" $certificate.renewBefore | int64) (include "zendesk-gateway.milliseconds" $certificate.duration | int64)) -}}
{{- $found = append $found (printf "tls.certificate.renewBefore: %s is not less than tls.certificate.duration, %s" $certificate.renewBefore $certificate.duration) -}}
{{- end -}}
{{- $families := .Values.service.ipFamilies -}}
{{- if and (has "IPv6" $families) (not (has "IPv4" $families)) -}}
{{- range $key, $address := dict "config.server.listen" .Values.config.server.listen "config.admin.listen" .Values.config.admin.listen -}}
{{- if not (hasPrefix "[" $address) -}}
{{- $found = append $found (printf "%s: %s is IPv4, and service.ipFamilies has IPv6 alone; listen on [::]" $key $address) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if eq .Values.service.type "ClusterIP" -}}
{{- if .Values.service.externalTrafficPolicy -}}
{{- $found = append $found "service.externalTrafficPolicy: does nothing for the type ClusterIP" -}}
{{- end -}}
{{- if .Values.service.nodePort -}}
{{- $found = append $found "service.nodePort: does nothing for the type ClusterIP" -}}
{{- end -}}
{{- end -}}
{{- $sleep := dig "preStop" "sleep" "seconds" 0 .Values.lifecycle | int64 -}}
{{- $drain := include "zendesk-gateway.milliseconds" (dig "drain" "timeout" "45s" .Values.config.server) | int64 -}}
{{- $grace := int64 .Values.terminationGracePeriodSeconds -}}
{{- if and $sleep (gt (mul 1000 $grace) $drain) (le (mul 1000 $grace) (add $drain (mul 1000 $sleep))) -}}
{{- $found = append $found (printf "lifecycle.preStop: its %d s count as terminationGracePeriodSeconds do, %d s; what is left is no more than config.server.drain.timeout" $sleep $grace) -}}
{{- end -}}
{{- range $key, $monitor := dict "serviceMonitor" .Values.serviceMonitor "podMonitor" .Values.podMonitor -}}
{{- $interval := include "zendesk-gateway.milliseconds" $monitor.interval | int64 -}}
{{- if and $monitor.interval (lt $interval (include "zendesk-gateway.milliseconds" $monitor.scrapeTimeout | int64)) -}}
{{- $found = append $found (printf "%s.scrapeTimeout: %s is more than %s.interval, %s" $key $monitor.scrapeTimeout $key $monitor.interval) -}}
{{- end -}}
{{- end -}}
{{- range $probe := list "startup" "readiness" "liveness" -}}
{{- if not (get $.Values.probes $probe) -}}
{{- $found = append $found (printf "probes.%s: is empty; without it Kubernetes does not know the pod's state" $probe) -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* A quantity of CPU or memory, in thousandths. */}}
{{- define "zendesk-gateway.amount" -}}
{{- $text := toString . -}}
{{- if hasSuffix "m" $text -}}
{{- trimSuffix "m" $text | int64 -}}
{{- else if regexMatch "^[0-9.]+$" $text -}}
{{- mulf 1000 (float64 $text) | int64 -}}
{{- else -}}
{{- mul 1000 (include "zendesk-gateway.bytes" . | int64) -}}
{{- end -}}
{{- end -}}

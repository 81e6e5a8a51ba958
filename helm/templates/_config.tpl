{{/*
The settings as the binary reads them: `.Values.config`, and the paths of the files that this chart mounts. Returns JSON.
Only what is not set is filled in, so whoever mounts files elsewhere names them in `config`. To `admin.allowed_hosts` the names of
the Service are added.
*/}}
{{- define "zendesk-gateway.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if include "zendesk-gateway.secretName" . -}}
{{- $credential := dig "upstream" "credential" dict $config -}}
{{- $key := get (dict "api_token" "token" "oauth_token" "token" "password" "password" "oauth_client" "client_secret") (dig "kind" "" $credential) -}}
{{- if and $key (not (hasKey $credential (printf "%s_file" $key))) -}}
{{- $_ := set $credential (printf "%s_file" $key) (printf "%s/%s" .Values.secret.mountPath (get .Values.secret.keys $key)) -}}
{{- end -}}
{{- end -}}
{{- if include "zendesk-gateway.tlsSecretName" . -}}
{{- $server := get $config "server" -}}
{{- $tls := dig "tls" dict $server -}}
{{- $files := dict "cert_file" (printf "%s/tls.crt" .Values.tls.mountPath) "key_file" (printf "%s/tls.key" .Values.tls.mountPath) -}}
{{- $_ := set $server "tls" (merge (deepCopy $tls) $files) -}}
{{- end -}}
{{- if and .Values.sandbox.enabled (not (dig "identity" "methods" list $config)) -}}
{{- $_ := set $config "identity" (merge (dict "methods" (list "none")) (dig "identity" dict $config)) -}}
{{- end -}}
{{- if include "zendesk-gateway.elects" . -}}
{{- $name := include "zendesk-gateway.fullname" . -}}
{{- $kubernetes := dict "lease" $name "token_file" "/var/run/secrets/zendesk-gateway/fleet/token" -}}
{{- $listen := regexReplaceAll "[0-9]+$" .Values.config.server.listen (toString (int .Values.fleet.port)) -}}
{{- $_ := set $config "fleet" (mergeOverwrite (dict "mode" "kubernetes" "listen" $listen "kubernetes" $kubernetes) (dig "fleet" dict $config)) -}}
{{- end -}}
{{- $admin := get $config "admin" -}}
{{- $hosts := include "zendesk-gateway.adminHosts" . | fromJsonArray -}}
{{- $_ := set $admin "allowed_hosts" (concat (dig "allowed_hosts" list $admin) $hosts | uniq) -}}
{{- toJson $config -}}
{{- end -}}

{{/*
Whether the pods elect a leader: where there may be more than one, unless the values say something else.
*/}}
{{- define "zendesk-gateway.elects" -}}
{{- $most := int .Values.replicaCount -}}
{{- if .Values.autoscaling.enabled -}}{{- $most = int .Values.autoscaling.maxReplicas -}}
{{- else if .Values.keda.enabled -}}{{- $most = int .Values.keda.maxReplicaCount -}}{{- end -}}
{{- $settings := dig "fleet" "mode" "" .Values.config -}}
{{- if eq .Values.fleet.mode "kubernetes" -}}true
{{- else if and (not .Values.fleet.mode) (gt $most 1) (has $settings (list "" "kubernetes")) (not .Values.sandbox.enabled) -}}true
{{- end -}}
{{- end -}}

{{/* The names by which the headless Service, the only one with the admin port, is reached within the cluster. Returns a JSON list. */}}
{{- define "zendesk-gateway.adminHosts" -}}
{{- $name := printf "%s-headless" (include "zendesk-gateway.fullname" .) -}}
{{- $space := include "zendesk-gateway.namespace" . -}}
{{- $full := printf "%s.%s.svc" $name $space -}}
{{- list $name (printf "%s.%s" $name $space) $full (printf "%s.cluster.local" $full) | toJson -}}
{{- end -}}

{{/* Helm reads every number as a float, which TOML would write as 6.7108864e+07. Changes its argument in place. */}}
{{- define "zendesk-gateway.wholeNumbers" -}}
{{- range $key, $value := . -}}
{{- if kindIs "map" $value -}}
{{- include "zendesk-gateway.wholeNumbers" $value -}}
{{- else if kindIs "slice" $value -}}
{{- range $row := $value -}}
{{- if kindIs "map" $row -}}
{{- include "zendesk-gateway.wholeNumbers" $row -}}
{{- end -}}
{{- end -}}
{{- else if kindIs "float64" $value -}}
{{- if eq $value (floor $value) -}}
{{- $_ := set $ $key (int64 $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "zendesk-gateway.toml" -}}
{{- $config := include "zendesk-gateway.config" . | fromJson -}}
{{- include "zendesk-gateway.wholeNumbers" $config -}}
{{- toToml $config -}}
{{- end -}}

{{/* The port of an address such as 0.0.0.0:50051. */}}
{{- define "zendesk-gateway.port" -}}
{{- regexFind "[0-9]+$" . -}}
{{- end -}}

{{/* A duration such as "1m 30s" in milliseconds. The schema lets no other form in. */}}
{{- define "zendesk-gateway.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 -}}
{{- $sum := 0 -}}
{{- range regexFindAll "[0-9]+(ms|s|m|h|d)" . -1 -}}
{{- $sum = add $sum (mul (regexFind "^[0-9]+" . | int64) (get $units (regexFind "[a-z]+$" .))) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}

{{/*
The TCP ports that the settings make the gateway connect to: Zendesk's, the collector's, the key server's, and those of proxies that
`extraEnv` names. Returns a JSON list.
*/}}
{{- define "zendesk-gateway.egressPorts" -}}
{{- $config := .Values.config -}}
{{- $zendesk := dig "upstream" "base_url" "https://zendesk.com" $config -}}
{{- $ports := list -}}
{{- $urls := list $zendesk (dig "telemetry" "otlp" "endpoint" "" $config) (dig "identity" "jwt" "jwks_url" "" $config) -}}
{{- with dig "fleet" "leader" "" $config -}}{{- $urls = append $urls (printf "https://%s" .) -}}{{- end -}}
{{- range .Values.extraEnv -}}
{{- if and (has (upper .name) (list "HTTPS_PROXY" "HTTP_PROXY" "ALL_PROXY")) .value -}}
{{- $urls = append $urls (ternary .value (printf "http://%s" .value) (contains "://" .value)) -}}
{{- end -}}
{{- end -}}
{{- range $url := $urls -}}
{{- if $url -}}
{{- $parsed := urlParse $url -}}
{{- $port := regexFind ":[0-9]+$" $parsed.host | trimPrefix ":" -}}
{{- $ports = append $ports (int (default (ternary "443" "80" (eq $parsed.scheme "https")) $port)) -}}
{{- end -}}
{{- end -}}
{{- toJson ($ports | uniq) -}}
{{- end -}}

{{/* How calls are told apart from plaintext ones: TLS is on as soon as the server has a certificate. */}}
{{- define "zendesk-gateway.tls" -}}
{{- $config := include "zendesk-gateway.config" . | fromJson -}}
{{- if dig "server" "tls" "cert_file" "" $config -}}true{{- end -}}
{{- end -}}

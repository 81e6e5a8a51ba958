{{/* Parts of the pods: the Deployment's and the test's. */}}

{{- define "zendesk-gateway.args" -}}
- serve
- --config=/etc/zendesk-gateway/config/zendesk-gateway.toml
{{- if .Values.sandbox.enabled }}
- --sandbox
- --users={{ int64 .Values.sandbox.users }}
- --seed={{ int64 .Values.sandbox.seed }}
{{- end }}
{{- with .Values.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
Telemetry tells pods apart by these; the names are OpenTelemetry's. Kubernetes refuses a name that stands twice, so what `extraEnv`
sets is left out here, and its resource attributes are added to these.
*/}}
{{- define "zendesk-gateway.env" -}}
{{- $own := list
  (dict "name" "POD_NAME" "valueFrom" (dict "fieldRef" (dict "fieldPath" "metadata.name")))
  (dict "name" "NODE_NAME" "valueFrom" (dict "fieldRef" (dict "fieldPath" "spec.nodeName"))) -}}
{{- if include "zendesk-gateway.elects" . -}}
{{- $own = append $own (dict "name" "ZENDESK_GATEWAY__FLEET__ADDRESS" "valueFrom" (dict "fieldRef" (dict "fieldPath" "status.podIP"))) -}}
{{- end -}}
{{- $attributes := printf "k8s.namespace.name=%s,k8s.pod.name=$(POD_NAME),k8s.node.name=$(NODE_NAME)" (include "zendesk-gateway.namespace" .) -}}
{{- $variables := list -}}
{{- $names := list "OTEL_RESOURCE_ATTRIBUTES" -}}
{{- range .Values.extraEnv -}}
{{- $names = append $names .name -}}
{{- if ne .name "OTEL_RESOURCE_ATTRIBUTES" -}}
{{- $variables = append $variables . -}}
{{- else if .value -}}
{{- $attributes = printf "%s,%s" $attributes .value -}}
{{- end -}}
{{- end -}}
{{- range $own -}}
{{- if has .name $names -}}{{- else -}}{{- $variables = prepend $variables . -}}{{- end -}}
{{- end -}}
{{- append $variables (dict "name" "OTEL_RESOURCE_ATTRIBUTES" "value" $attributes) | toYaml -}}
{{- end -}}

{{/*
No subPath anywhere: files that are mounted so never change, and a rotation would not arrive. No folder within another: the
container runtime cannot make a mount point in a read-only volume.
*/}}
{{- define "zendesk-gateway.volumeMounts" -}}
- name: config
  mountPath: /etc/zendesk-gateway/config
  readOnly: true
{{- if include "zendesk-gateway.secretName" . }}
- name: secret
  mountPath: {{ .Values.secret.mountPath }}
  readOnly: true
{{- end }}
{{- if include "zendesk-gateway.tlsSecretName" . }}
- name: tls
  mountPath: {{ .Values.tls.mountPath }}
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The settings are the pod's own annotation: an old ReplicaSet keeps its own, so that `kubectl rollout undo` brings them back, too. */}}
{{- define "zendesk-gateway.volumes" -}}
- name: config
  downwardAPI:
    items:
      - path: zendesk-gateway.toml
        fieldRef:
          fieldPath: metadata.annotations['zendesk-gateway/config']
{{- with include "zendesk-gateway.secretName" . }}
- name: secret
  secret:
    secretName: {{ . }}
    defaultMode: 288 # 0440
{{- end }}
{{- with include "zendesk-gateway.tlsSecretName" . }}
- name: tls
  secret:
    secretName: {{ . }}
    defaultMode: 288 # 0440
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* On the admin port, so that no crowd of callers is in the way; it says the same as the gRPC health service. */}}
{{- define "zendesk-gateway.readinessHandler" -}}
httpGet:
  path: /readyz
  port: admin
{{- end -}}

{{/* A pod that waits for its credential or its issuer is alive: killing it would hide its alerts, and put off its start after the mend. */}}
{{- define "zendesk-gateway.livenessHandler" -}}
httpGet:
  path: /livez
  port: admin
{{- end -}}

{{- define "zendesk-gateway.configAnnotation" -}}
zendesk-gateway/config: |
  {{- include "zendesk-gateway.toml" . | nindent 2 }}
{{- end -}}

{{/* The head of a pod that ends by itself: the test's, and the one that checks the settings. */}}
{{- define "zendesk-gateway.shortPod" -}}
restartPolicy: Never
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with include "zendesk-gateway.pullSecrets" . | fromJsonArray }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.extraInitContainers }}
initContainers:
  {{- tpl (toYaml .) $ | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The gateway's own check of its settings, with everything that the gateway would have. */}}
{{- define "zendesk-gateway.checkContainer" -}}
name: settings
image: {{ include "zendesk-gateway.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args:
  - check
  - --config=/etc/zendesk-gateway/config/zendesk-gateway.toml
  {{- if .Values.sandbox.enabled }}
  - --sandbox
  {{- end }}
env:
  {{- include "zendesk-gateway.env" . | nindent 2 }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
resources:
  {{- toYaml .Values.test.resources | nindent 2 }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
volumeMounts:
  {{- include "zendesk-gateway.volumeMounts" . | nindent 2 }}
{{- end -}}

{{/*
The Secrets and ConfigMaps that a pod needs to start and that the cluster does not have. Nothing where the cluster cannot be asked, as in
`helm template`: there no Deployment of the release is found either.
*/}}
{{- define "zendesk-gateway.missing" -}}
{{- $namespace := include "zendesk-gateway.namespace" . -}}
{{- $fullname := include "zendesk-gateway.fullname" . -}}
{{- if lookup "apps/v1" "Deployment" $namespace $fullname -}}
{{- $needed := list -}}
{{- range include "zendesk-gateway.volumes" . | fromYamlArray -}}
{{- range prepend (dig "projected" "sources" list .) . -}}
{{- with .secret -}}
{{- $needed = append $needed (dict "kind" "Secret" "name" (coalesce .secretName .name) "optional" .optional) -}}
{{- end -}}
{{- with .configMap -}}
{{- $needed = append $needed (dict "kind" "ConfigMap" "name" .name "optional" .optional) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range concat (include "zendesk-gateway.env" . | fromYamlArray) .Values.extraEnvFrom -}}
{{- with coalesce .secretRef (dig "valueFrom" "secretKeyRef" dict .) -}}
{{- $needed = append $needed (dict "kind" "Secret" "name" .name "optional" .optional) -}}
{{- end -}}
{{- with coalesce .configMapRef (dig "valueFrom" "configMapKeyRef" dict .) -}}
{{- $needed = append $needed (dict "kind" "ConfigMap" "name" .name "optional" .optional) -}}
{{- end -}}
{{- end -}}
{{- /* The release's own Secret comes along with the check. */ -}}
{{- $own := ternary $fullname "" (not (empty (and .Values.secret.data (not .Values.secret.existingSecret)))) -}}
{{- range $needed -}}
{{- if not (or .optional (eq .name $own) (lookup "v1" .kind $namespace .name)) }} {{ .kind }}/{{ .name }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "zendesk-gateway.scheduling" -}}
{{- with include "zendesk-gateway.pullSecrets" . | fromJsonArray }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  - {{ toYaml . | nindent 4 | trim }}
    {{- if not (hasKey . "labelSelector") }}
    labelSelector:
      matchLabels:
        {{- include "zendesk-gateway.selectorLabels" $ | nindent 8 }}
    {{- if not (hasKey . "matchLabelKeys") }}
    matchLabelKeys: [pod-template-hash]
    {{- end }}
    {{- end }}
  {{- end }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "zendesk-gateway.appProtocol" -}}
{{- if .Values.service.appProtocol -}}
appProtocol: {{ .Values.service.appProtocol }}
{{- else if not (include "zendesk-gateway.tls" .) -}}
appProtocol: kubernetes.io/h2c
{{- end -}}
{{- end -}}

{{/* Argument: the values of the ServiceMonitor or the PodMonitor. */}}
{{- define "zendesk-gateway.scrape" -}}
- port: admin
  path: /metrics
  {{- with .interval }}
  interval: {{ . }}
  {{- end }}
  {{- with .scrapeTimeout }}
  scrapeTimeout: {{ . }}
  {{- end }}
  {{- with .relabelings }}
  relabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .metricRelabelings }}
  metricRelabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .honorLabels }}
  honorLabels: true
  {{- end }}
{{- end -}}

{{/* Only pods that serve are part of the fleet. */}}
{{- define "zendesk-gateway.fleetMounts" -}}
- name: kubernetes
  mountPath: /var/run/secrets/kubernetes.io/serviceaccount
  readOnly: true
- name: fleet
  mountPath: /var/run/secrets/zendesk-gateway/fleet
  readOnly: true
{{- end -}}

{{- define "zendesk-gateway.fleetVolumes" -}}
# What the API server is asked with, and, for an audience of the release's own, what pods prove to each other that they belong to it.
- name: kubernetes
  projected:
    defaultMode: 288 # 0440
    sources:
      - serviceAccountToken:
          path: token
          expirationSeconds: 3600
      - configMap:
          name: kube-root-ca.crt
          items:
            - key: ca.crt
              path: ca.crt
      - downwardAPI:
          items:
            - path: namespace
              fieldRef:
                fieldPath: metadata.namespace
- name: fleet
  projected:
    defaultMode: 288 # 0440
    sources:
      - serviceAccountToken:
          path: token
          audience: {{ printf "%s.%s.zendesk-gateway" (include "zendesk-gateway.fullname" .) (include "zendesk-gateway.namespace" .) }}
          expirationSeconds: 600
{{- end -}}

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

{{/* Telemetry tells pods apart by these; the names are OpenTelemetry's. */}}
{{- define "zendesk-gateway.env" -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: NODE_NAME
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
- name: OTEL_RESOURCE_ATTRIBUTES
  value: k8s.namespace.name={{ .Release.Namespace }},k8s.pod.name=$(POD_NAME),k8s.node.name=$(NODE_NAME)
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
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

{{- define "zendesk-gateway.volumes" -}}
- name: config
  configMap:
    name: {{ include "zendesk-gateway.fullname" . }}
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

{{/* Kubernetes' gRPC probes cannot speak TLS; /readyz says the same. */}}
{{- define "zendesk-gateway.readinessHandler" -}}
{{- if include "zendesk-gateway.tls" . -}}
httpGet:
  path: /readyz
  port: admin
{{- else -}}
grpc:
  port: {{ include "zendesk-gateway.port" .Values.config.server.listen }}
{{- end -}}
{{- end -}}

{{- define "zendesk-gateway.scheduling" -}}
{{- with .Values.imagePullSecrets }}
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
{{- end -}}

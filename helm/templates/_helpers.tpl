{{/* Names, labels and the image. */}}

{{- define "zendesk-gateway.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* 54 characters leave room for `-headless` within the 63 of a Service's name. */}}
{{- define "zendesk-gateway.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 54 | trimSuffix "-" -}}
{{- else if contains (include "zendesk-gateway.name" .) .Release.Name -}}
{{- .Release.Name | trunc 54 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "zendesk-gateway.name" .) | trunc 54 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What every object of this release has in common; a Deployment's selector cannot change, so it holds nothing else. */}}
{{- define "zendesk-gateway.instanceLabels" -}}
app.kubernetes.io/name: {{ include "zendesk-gateway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The component keeps the pod of `helm test` out of the Services. */}}
{{- define "zendesk-gateway.selectorLabels" -}}
{{ include "zendesk-gateway.instanceLabels" . }}
app.kubernetes.io/component: gateway
{{- end -}}

{{- define "zendesk-gateway.labels" -}}
{{ include "zendesk-gateway.instanceLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The head of every object's metadata. Argument: root, suffix, labels, annotations; the last three may be missing. */}}
{{- define "zendesk-gateway.metadata" -}}
name: {{ include "zendesk-gateway.fullname" .root }}{{ .suffix }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "zendesk-gateway.labels" .root | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge dict (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "zendesk-gateway.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "zendesk-gateway.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* A digest names the content, so it wins over the tag. */}}
{{- define "zendesk-gateway.image" -}}
{{- $image := .Values.image -}}
{{- $tag := default .Chart.AppVersion $image.tag -}}
{{- if .Values.sandbox.enabled -}}
{{- $tag = printf "%s%s" $tag .Values.sandbox.tagSuffix -}}
{{- end -}}
{{- if and $image.digest (not .Values.sandbox.enabled) -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository $tag -}}
{{- end -}}
{{- end -}}

{{- define "zendesk-gateway.secretName" -}}
{{- if .Values.secret.existingSecret -}}
{{- .Values.secret.existingSecret -}}
{{- else if .Values.secret.data -}}
{{- include "zendesk-gateway.fullname" . -}}
{{- end -}}
{{- end -}}

{{- define "zendesk-gateway.tlsSecretName" -}}
{{- if .Values.tls.certificate.enabled -}}
{{- include "zendesk-gateway.fullname" . }}-tls
{{- else -}}
{{- .Values.tls.existingSecret -}}
{{- end -}}
{{- end -}}

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
namespace: {{ include "zendesk-gateway.namespace" .root }}
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

{{- define "zendesk-gateway.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- define "zendesk-gateway.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "zendesk-gateway.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/*
An image's repository, at the registry that a parent chart sets for all. Argument: root, image. What stands before the first slash
is a registry if it could be a host's name; it gives way to the one of `global`.
*/}}
{{- define "zendesk-gateway.repository" -}}
{{- $registry := dig "imageRegistry" "" (.root.Values.global | default dict) -}}
{{- if $registry -}}
{{- printf "%s/%s" (trimSuffix "/" $registry) (regexReplaceAll "^([^/]*[.:][^/]*|localhost)/" .image.repository "") -}}
{{- else -}}
{{- .image.repository -}}
{{- end -}}
{{- end -}}

{{/* The chart's and the parent chart's Secrets for fetching images. A parent may list names only. Returns a JSON list. */}}
{{- define "zendesk-gateway.pullSecrets" -}}
{{- $secrets := list -}}
{{- range concat (dig "imagePullSecrets" list (.Values.global | default dict)) .Values.imagePullSecrets -}}
{{- $secrets = append $secrets (ternary (dict "name" .) . (kindIs "string" .)) -}}
{{- end -}}
{{- toJson ($secrets | uniq) -}}
{{- end -}}

{{/* A digest names the content, so it wins over the tag. */}}
{{- define "zendesk-gateway.image" -}}
{{- $image := .Values.image -}}
{{- $repository := include "zendesk-gateway.repository" (dict "root" . "image" $image) -}}
{{- $tag := default .Chart.AppVersion $image.tag -}}
{{- if .Values.sandbox.enabled -}}
{{- $tag = printf "%s%s" $tag .Values.sandbox.tagSuffix -}}
{{- end -}}
{{- if and $image.digest (not .Values.sandbox.enabled) -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository $tag -}}
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

{{/*
The number of pods that the Deployment states; nothing where a scaler owns it. The first release with a scaler still has to state one:
a number that stood in the release before and is missing now would become 1. So a release that is there keeps what it has, within the
scaler's bounds, until the scaler has set another: a number stated then would be refused as a conflict as soon as the scaler sets the
next, at a rollback for example. Helm 3 does not apply on the server and keeps stating it. Where the cluster cannot be asked, as in
`helm template`, the scaler owns the number from the start.
*/}}
{{- define "zendesk-gateway.replicas" -}}
{{- $bounds := dict -}}
{{- if .Values.autoscaling.enabled -}}
{{- $bounds = dict "least" .Values.autoscaling.minReplicas "most" .Values.autoscaling.maxReplicas -}}
{{- else if .Values.keda.enabled -}}
{{- $bounds = dict "least" .Values.keda.minReplicaCount "most" .Values.keda.maxReplicaCount -}}
{{- end -}}
{{- if not $bounds -}}
{{- .Values.replicaCount -}}
{{- else -}}
{{- $live := lookup "apps/v1" "Deployment" (include "zendesk-gateway.namespace" .) (include "zendesk-gateway.fullname" .) -}}
{{- $applied := false -}}
{{- $stated := false -}}
{{- range dig "metadata" "managedFields" list $live -}}
{{- if eq .operation "Apply" -}}
{{- $applied = true -}}
{{- $stated = or $stated (hasKey (dig "f:spec" dict .fieldsV1) "f:replicas") -}}
{{- end -}}
{{- end -}}
{{- $count := dig "spec" "replicas" "" $live -}}
{{- if and $count (or $stated (not $applied)) -}}
{{- min (max (int64 $count) (int64 $bounds.least)) (int64 $bounds.most) -}}
{{- end -}}
{{- end -}}
{{- end -}}

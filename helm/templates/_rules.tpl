{{/*
The rules of `rules/zendesk-gateway.yaml` for this release: its namespace and its job in each selector, and other thresholds where the
values have some. In the file, a number in front of `# name` is the threshold of that name.
*/}}
{{- define "zendesk-gateway.rules" -}}
{{- $rules := .Files.Get "rules/zendesk-gateway.yaml" -}}
{{- $release := printf "namespace=%q,job=%q" (include "zendesk-gateway.namespace" .) .Release.Name -}}
{{- $rules = replace "job=~\".+\"" $release $rules -}}
{{- range $name, $threshold := .Values.prometheusRule.thresholds -}}
{{- $rules = regexReplaceAll (printf "[0-9.]+ # %s\n" $name) $rules (printf "%v # %s\n" $threshold $name) -}}
{{- end -}}
{{- $rules -}}
{{- end -}}

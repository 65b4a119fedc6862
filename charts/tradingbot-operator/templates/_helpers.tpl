{{/* What everything of this release is named. The usual name alone when the release has it already. */}}
{{- define "tradingbot-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The labels that select the operator's pods. */}}
{{- define "tradingbot-operator.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The labels of everything. */}}
{{- define "tradingbot-operator.labels" -}}
{{ include "tradingbot-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.extraLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The operator's ServiceAccount. */}}
{{- define "tradingbot-operator.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "tradingbot-operator.fullname" .) -}}
{{- end -}}

{{/* The user that the operator is to the API server. */}}
{{- define "tradingbot-operator.user" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "tradingbot-operator.serviceAccount" . }}
{{- end -}}

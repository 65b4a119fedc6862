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

{{/* The labels of everything. Helm adds app.kubernetes.io/managed-by itself, and to nothing that kubectl applies. */}}
{{- define "tradingbot-operator.labels" -}}
{{ include "tradingbot-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
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

{{/* The operator's ServiceAccount as the subject of a binding. */}}
{{- define "tradingbot-operator.subject" -}}
kind: ServiceAccount
name: {{ include "tradingbot-operator.serviceAccount" . }}
namespace: {{ .Release.Namespace }}
{{- end -}}

{{/* The image: of the operator, and of the agents that it puts into bots' pods. */}}
{{- define "tradingbot-operator.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* The PriorityClass of the operator's pods; empty: none. */}}
{{- define "tradingbot-operator.priorityClass" -}}
{{- if .Values.priorityClass.create -}}
{{- .Values.priorityClass.name | default (include "tradingbot-operator.fullname" .) -}}
{{- else -}}
{{- .Values.priorityClass.name -}}
{{- end -}}
{{- end -}}

{{/* The labels that every alert is given besides, to go on within a flow mapping. */}}
{{- define "tradingbot-operator.alertLabels" -}}
{{- range $key, $value := .Values.prometheusRule.alertLabels }}, {{ $key }}: {{ $value | quote }}{{ end -}}
{{- end -}}

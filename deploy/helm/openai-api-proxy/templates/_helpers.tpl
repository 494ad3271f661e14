{{/* One name for everything, so that two releases can live in one namespace. */}}
{{- define "oap.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "oap.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "oap.labels" -}}
{{ include "oap.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "oap.secret" -}}
{{ .Values.secret.existing | default (include "oap.name" .) }}
{{- end }}

{{/* Secrets that may be left out. */}}
{{- define "oap.optional" -}}
CLIENT_TOKENS ADMIN_TOKEN ENCRYPTION_KEY ALERT_WEBHOOK_URL OTEL_EXPORTER_OTLP_HEADERS
{{- end }}

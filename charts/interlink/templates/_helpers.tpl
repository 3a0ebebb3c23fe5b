{{- define "interlink.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}-operator
{{- end }}
{{- define "interlink.selector" -}}
app.kubernetes.io/name: interlink-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "interlink.labels" -}}
{{ include "interlink.selector" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: interlink
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}
{{- define "interlink.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- define "interlink.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "longhand.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "longhand.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "longhand.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "longhand.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "longhand.selectorLabels" -}}
app.kubernetes.io/name: {{ include "longhand.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "longhand.labels" -}}
{{ include "longhand.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "longhand.serviceAccountName" -}}
{{- default (include "longhand.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "longhand.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Values that contradict each other end here, with what to do. */}}
{{- define "longhand.check" -}}
{{- if and (not .Values.tls.enabled) (not .Values.insecureAllowRemotePlaintext) -}}
{{- fail "without tls.enabled anybody on the network reads the documents: set it, or, behind a mesh that encrypts, insecureAllowRemotePlaintext" -}}
{{- end -}}
{{- if and .Values.tls.enabled .Values.insecureAllowRemotePlaintext -}}
{{- fail "insecureAllowRemotePlaintext goes with tls.enabled=false" -}}
{{- end -}}
{{- if and (eq .Values.sessions.store "redis") (not .Values.sessions.redis.address) -}}
{{- fail "sessions.store redis needs sessions.redis.address, HOST:PORT" -}}
{{- end -}}
{{- range $flag, $_ := .Values.config -}}
{{- if hasKey (include "longhand.ownFlags" $ | fromYaml) $flag -}}
{{- fail (printf "config.%s: the chart sets this flag; use the value that stands for it" $flag) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The flags that other values stand for. */}}
{{- define "longhand.ownFlags" -}}
listen: {{ printf "0.0.0.0:%d" 50051 | quote }}
metrics-listen: {{ printf "0.0.0.0:%d" 9464 | quote }}
model: {{ .Values.model.path | quote }}
precision: {{ .Values.model.precision | quote }}
log-level: {{ .Values.log.level | quote }}
log-format: json
drain-delay-seconds: {{ .Values.drain.delaySeconds | quote }}
drain-timeout-seconds: {{ .Values.drain.timeoutSeconds | quote }}
session-store: {{ .Values.sessions.store | quote }}
max-working-bytes: {{ .Values.budgets.workingBytes | quote }}
session-memory-bytes: {{ .Values.budgets.sessionBytes | quote }}
grpc-memory-bytes: {{ .Values.budgets.grpcBytes | quote }}
{{- if .Values.tls.enabled }}
tls-cert: /etc/longhand/tls/tls.crt
tls-key: /etc/longhand/tls/tls.key
{{- if .Values.tls.clientCertificates }}
tls-client-ca: {{ printf "/etc/longhand/tls/%s" .Values.tls.clientCaKey | quote }}
{{- end }}
{{- else }}
insecure-allow-remote-plaintext: "true"
{{- end }}
{{- with .Values.auth.tokensSecret }}
{{- if .name }}
auth-tokens: {{ printf "/etc/longhand/auth/%s" .key | quote }}
{{- end }}
{{- end }}
{{- with .Values.sessions.snapshotKeySecret }}
{{- if .name }}
session-snapshot-key-file: {{ printf "/etc/longhand/snapshot/%s" .key | quote }}
{{- end }}
{{- end }}
{{- if eq .Values.sessions.store "rocksdb" }}
session-dir: /var/lib/longhand/sessions
{{- end }}
{{- if eq .Values.sessions.store "redis" }}
{{- with .Values.sessions.redis }}
session-redis-address: {{ .address | quote }}
{{- if .username }}
session-redis-username: {{ .username | quote }}
{{- end }}
{{- if .passwordSecret.name }}
session-redis-password-file: {{ printf "/etc/longhand/redis/%s" .passwordSecret.key | quote }}
{{- end }}
{{- if .tlsSecret.name }}
session-redis-tls-ca: {{ printf "/etc/longhand/redis-tls/%s" .tlsSecret.caKey | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The file of --config. Whole numbers stay whole: YAML's are floats here. */}}
{{- define "longhand.config" -}}
{{- $flags := merge (include "longhand.ownFlags" . | fromYaml) .Values.config -}}
{{- range $flag, $value := $flags }}
{{- if and (kindIs "float64" $value) (eq (floor $value) $value) }}
{{- $value = int64 $value }}
{{- end }}
{{ $flag }}={{ $value | toString | quote }}
{{- end }}
{{- end -}}

{{/* Whose secrets are mounted below /etc/longhand: NAME: SECRET. */}}
{{- define "longhand.secrets" -}}
{{- if .Values.tls.enabled }}
tls: {{ .Values.tls.secretName | quote }}
{{- end }}
{{- with .Values.auth.tokensSecret.name }}
auth: {{ . | quote }}
{{- end }}
{{- with .Values.sessions.snapshotKeySecret.name }}
snapshot: {{ . | quote }}
{{- end }}
{{- if eq .Values.sessions.store "redis" }}
{{- with .Values.sessions.redis.passwordSecret.name }}
redis: {{ . | quote }}
{{- end }}
{{- with .Values.sessions.redis.tlsSecret.name }}
redis-tls: {{ . | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "agogo.name" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains "agogo" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-agogo" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "agogo.labels" -}}
app.kubernetes.io/name: agogo
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: agogo
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ include "agogo.tag" . | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "agogo.selector" -}}
app.kubernetes.io/name: agogo
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "agogo.selectorFlow" -}}
{app.kubernetes.io/name: agogo, app.kubernetes.io/instance: {{ .Release.Name }}}
{{- end }}

{{- define "agogo.tag" -}}
{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "agogo.image" -}}
{{ printf "%s/%s:%s" .root.Values.image.repository .image (include "agogo.tag" .root) | quote }}
{{- end }}

{{/* What every pod of ours says. */}}
{{- define "agogo.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "agogo.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "agogo.natsURL" -}}
{{- if eq .Values.nats.mode "bundled" -}}
{{ ternary "tls" "nats" .Values.tls.enabled }}://{{ include "agogo.name" . }}-nats:4222
{{- else -}}
{{ required "nats.external.url is needed: the address of NATS" .Values.nats.external.url }}
{{- end }}
{{- end }}

{{/* The Secret with NATS's authority as ca.crt, or nothing. */}}
{{- define "agogo.natsCA" -}}
{{- if eq .Values.nats.mode "external" }}{{ .Values.nats.external.caSecret }}
{{- else if .Values.tls.enabled }}{{ include "agogo.name" . }}-tls-nats{{ end -}}
{{- end }}

{{- define "agogo.postgresHost" -}}
{{- if eq .Values.postgres.mode "cloudnative-pg" }}{{ include "agogo.name" . }}-pg-rw
{{- else }}{{ required "postgres.host is needed: the host of the database, or postgres.mode cloudnative-pg" .Values.postgres.host }}{{ end -}}
{{- end }}

{{- define "agogo.postgresCA" -}}
{{- if eq .Values.postgres.mode "cloudnative-pg" }}{{ include "agogo.name" . }}-pg-ca{{ else }}{{ .Values.postgres.caSecret }}{{ end -}}
{{- end }}

{{/* The address of the database for a user; the password comes from elsewhere. */}}
{{- define "agogo.dsn" -}}
{{- $v := .root.Values.postgres -}}
postgres://{{ .user }}@{{ include "agogo.postgresHost" .root }}:{{ $v.port }}/{{ $v.database }}?sslmode={{ $v.sslmode }}{{ if include "agogo.postgresCA" .root }}&sslrootcert=/etc/agogo/postgres-ca/ca.crt{{ end }}
{{- end }}

{{- define "agogo.caVolumes" -}}
{{- with include "agogo.natsCA" . }}
- name: nats-ca
  secret: {secretName: {{ . }}, items: [{key: ca.crt, path: ca.crt}]}
{{- end }}
{{- with include "agogo.postgresCA" . }}
- name: postgres-ca
  secret: {secretName: {{ . }}, items: [{key: ca.crt, path: ca.crt}]}
{{- end }}
{{- end }}

{{- define "agogo.caMounts" -}}
{{- if include "agogo.natsCA" . }}
- {name: nats-ca, mountPath: /etc/agogo/nats-ca, readOnly: true}
{{- end }}
{{- if include "agogo.postgresCA" . }}
- {name: postgres-ca, mountPath: /etc/agogo/postgres-ca, readOnly: true}
{{- end }}
{{- end }}

{{/* Go's collector keeps below a part of the memory limit, so that a burst makes it work harder instead of ending the process. */}}
{{- define "agogo.goMemory" -}}
{{- $limit := dig "limits" "memory" "" .resources -}}
{{- if $limit }}
{{- if kindIs "float64" $limit }}{{ $limit = int64 $limit }}{{ end -}}
{{- $limit = toString $limit -}}
{{- $sizes := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $unit := regexFind "[A-Za-z]*$" $limit -}}
{{- $number := trimSuffix $unit $limit -}}
{{- if or (not (hasKey $sizes $unit)) (not (regexMatch "^[0-9]+([.][0-9]+)?$" $number)) }}
{{- fail (printf "the memory limit %s is not understood: write a number with k, M, G, T, Ki, Mi, Gi or Ti, such as 512Mi" $limit) }}
{{- end -}}
{{ divf (mulf ($number | float64) (get $sizes $unit | float64) .percent) 104857600 | floor | int64 }}MiB
{{- end -}}
{{- end }}

{{/* Names that the certificate of the services is good for; of NATS below. Apart, so that no service can pose as the broker. */}}
{{- define "agogo.hosts" -}}
{{- $name := include "agogo.name" . -}}
{{- $hosts := list "localhost" "127.0.0.1" -}}
{{- range $svc := list "scheduler" "payouts" "recurrences" "notifier" -}}
{{- $hosts = concat $hosts (list (printf "%s-%s" $name $svc) (printf "%s-%s.%s.svc" $name $svc $.Release.Namespace)) -}}
{{- end -}}
{{- concat $hosts .Values.tls.extraHosts | join "," -}}
{{- end }}

{{- define "agogo.natsHosts" -}}
{{- $name := include "agogo.name" . -}}
{{- $hosts := list "localhost" "127.0.0.1" -}}
{{- range $svc := list "nats" "nats-headless" -}}
{{- $hosts = concat $hosts (list (printf "%s-%s" $name $svc) (printf "%s-%s.%s.svc" $name $svc $.Release.Namespace)) -}}
{{- end -}}
{{- $hosts = append $hosts (printf "*.%s-nats-headless.%s.svc" $name .Release.Namespace) -}}
{{- concat $hosts .Values.tls.extraHosts | join "," -}}
{{- end }}

{{- define "agogo.tenants" -}}
{{ .Values.tenants.existingConfigMap | default (printf "%s-tenants" (include "agogo.name" .)) }}
{{- end }}

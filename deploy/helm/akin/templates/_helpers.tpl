{{/* The name of most objects: the release's, with the chart's unless the release's contains it. */}}
{{- define "akin.name" -}}
{{- $name := ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name) -}}
{{- $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* What selects the pods of the server; never changes during the life of a release. */}}
{{- define "akin.selector" -}}
app.kubernetes.io/name: akin
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end -}}

{{- define "akin.labels" -}}
app.kubernetes.io/name: akin
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* Connection to the store, for the server and for pg_dump. Without the Secret, no container starts. */}}
{{- define "akin.storeEnv" -}}
{{- $store := .Values.store -}}
- name: AKIN_STORE
  valueFrom:
    secretKeyRef:
      name: {{ required "store.secret: name the Secret with the PostgreSQL URL. For one replica without PostgreSQL, use deploy/kubernetes/akin.yaml" $store.secret }}
      key: {{ $store.urlKey }}
{{- if $store.passwordKey }}
- name: PGPASSWORD
  valueFrom:
    secretKeyRef: {name: {{ $store.secret }}, key: {{ $store.passwordKey }}}
{{- end }}
{{- if $store.caSecret }}
- {name: PGSSLROOTCERT, value: /etc/akin/store/{{ $store.caKey }}}
{{- end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Connection to Qdrant, and how it keeps the vectors. */}}
{{- define "akin.sharedIndexEnv" -}}
{{- $shared := .Values.sharedIndex -}}
- {name: AKIN_QDRANT_URL, value: {{ $shared.url | quote }}}
- {name: AKIN_INDEX, value: {{ $shared.default }}}
- {name: AKIN_QDRANT_REPLICAS, value: {{ $shared.replicas | quote }}}
{{- if $shared.shards }}
- {name: AKIN_QDRANT_SHARDS, value: {{ $shared.shards | quote }}}
{{- end }}
{{- if $shared.secret }}
- name: AKIN_QDRANT_API_KEY
  valueFrom:
    secretKeyRef: {name: {{ $shared.secret }}, key: {{ $shared.key }}}
{{- end }}
{{- end -}}

{{- define "akin.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "akin.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

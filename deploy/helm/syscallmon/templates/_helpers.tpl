{{/* The chart's name, or what replaces it. */}}
{{- define "syscallmon.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The name of objects: of 63 characters at most, as labels and names of Services are. */}}
{{- define "syscallmon.fullname" -}}
{{- $name := include "syscallmon.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* The namespace of objects. */}}
{{- define "syscallmon.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{/* A map of labels or annotations: YAML's numbers and booleans as the strings that Kubernetes requires. */}}
{{- define "syscallmon.strings" -}}
{{- range $key, $value := . }}
{{ $key }}: {{ if kindIs "float64" $value }}{{ $value | toJson | quote }}{{ else }}{{ $value | toString | quote }}{{ end }}
{{- end }}
{{- end }}

{{/* The ConfigMap of policies. */}}
{{- define "syscallmon.policiesName" -}}
{{- printf "%s-policies" (include "syscallmon.fullname" . | trunc 54 | trimSuffix "-") }}
{{- end }}

{{/* What pods are selected by: must never change. */}}
{{- define "syscallmon.selectorLabels" -}}
app.kubernetes.io/name: {{ include "syscallmon.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of pods: nothing that changes where the daemon does not. */}}
{{- define "syscallmon.podLabels" -}}
{{ include "syscallmon.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: exporter
app.kubernetes.io/part-of: syscallmon
{{- include "syscallmon.strings" .Values.commonLabels }}
{{- end }}

{{/* Labels of every other object. */}}
{{- define "syscallmon.labels" -}}
{{ include "syscallmon.podLabels" . }}
{{- if not .Values.plainManifests }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ include "syscallmon.chart" . }}
{{- end }}
{{- end }}

{{- define "syscallmon.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The test's pod, its account and its Role. */}}
{{- define "syscallmon.testName" -}}
{{- printf "%s-test" (include "syscallmon.fullname" . | trunc 58 | trimSuffix "-") }}
{{- end }}

{{/* What the test's pod is selected by: not what the daemon's pods are selected by, and with another name. */}}
{{- define "syscallmon.testSelectorLabels" -}}
app.kubernetes.io/name: {{ printf "%s-test" (include "syscallmon.name" . | trunc 58 | trimSuffix "-") }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "syscallmon.testLabels" -}}
{{ include "syscallmon.testSelectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: test
app.kubernetes.io/part-of: syscallmon
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ include "syscallmon.chart" . }}
{{- include "syscallmon.strings" .Values.commonLabels }}
{{- end }}

{{/* The spec of a pod that runs `health` with an account. */}}
{{- define "syscallmon.healthPod" -}}
{{- $root := .root -}}
restartPolicy: Never
{{- with include "syscallmon.imagePullSecrets" $root | trim }}
imagePullSecrets:
{{- . | nindent 0 }}
{{- end }}
serviceAccountName: {{ .account }}
automountServiceAccountToken: true
enableServiceLinks: false
terminationGracePeriodSeconds: 0
{{- with $root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $root.Values.nodeSelector }}
nodeSelector:
  {{- include "syscallmon.strings" . | trim | nindent 2 }}
{{- end }}
{{- with $root.Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  {{- if not ($root.Capabilities.APIVersions.Has "security.openshift.io/v1") }}
  # OpenShift chooses them, and allows no others.
  runAsUser: 65534
  runAsGroup: 65534
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
containers:
- name: health
  image: {{ include "syscallmon.image" $root }}
  imagePullPolicy: {{ $root.Values.image.pullPolicy }}
  args:
  {{- range .args }}
  - {{ . }}
  {{- end }}
  securityContext:
    privileged: false
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: [ALL]
  resources:
    requests:
      cpu: 10m
      memory: 16Mi
    limits:
      memory: 64Mi
{{- end }}

{{/* "true" if there is a test, else empty. */}}
{{- define "syscallmon.hasTest" -}}
{{- if and .Values.test.enabled .Values.rbac.create (not .Values.plainManifests) }}true{{ end }}
{{- end }}

{{/* What removes pins when the release is removed. */}}
{{- define "syscallmon.unpinName" -}}
{{- printf "%s-unpin" (include "syscallmon.fullname" . | trunc 57 | trimSuffix "-") }}
{{- end }}

{{- define "syscallmon.unpinSelectorLabels" -}}
app.kubernetes.io/name: {{ printf "%s-unpin" (include "syscallmon.name" . | trunc 57 | trimSuffix "-") }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "syscallmon.unpinLabels" -}}
{{ include "syscallmon.unpinSelectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: unpin
app.kubernetes.io/part-of: syscallmon
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ include "syscallmon.chart" . }}
{{- include "syscallmon.strings" .Values.commonLabels }}
{{- end }}

{{/* "true" if helm removes pins with the release, else empty. */}}
{{- define "syscallmon.unpins" -}}
{{- if and .Values.pin.enabled .Values.rbac.create (not .Values.plainManifests) }}true{{ end }}
{{- end }}

{{/* A container that removes pins: with no capabilities, since the files are root's. */}}
{{- define "syscallmon.unpinContainer" -}}
image: {{ include "syscallmon.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  privileged: false
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
  {{- with .Values.seLinuxOptions }}
  seLinuxOptions:
    {{- toYaml . | nindent 4 }}
  {{- end }}
resources:
  requests:
    cpu: 10m
    memory: 16Mi
  limits:
    memory: 32Mi
volumeMounts:
- name: bpf
  mountPath: /host{{ .Values.pin.hostPath }}
  mountPropagation: HostToContainer
{{- end }}

{{/* "true" if the test requests the daemons' pages. No certificate is for the address of a pod. */}}
{{- define "syscallmon.testsPages" -}}
{{- if and .Values.service.enabled (eq .Values.web.scheme "HTTP") }}true{{ end }}
{{- end }}

{{- define "syscallmon.telemetryPath" -}}
{{- dig "web" "telemetry_path" "/metrics" .Values.config }}
{{- end }}

{{- define "syscallmon.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "syscallmon.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "syscallmon.image" -}}
{{- $repository := .Values.image.repository }}
{{- with .Values.global.imageRegistry | default .Values.image.registry }}
{{- $repository = printf "%s/%s" . $repository }}
{{- end }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* Secrets to pull images with, for all charts first: names, or objects with a name. */}}
{{- define "syscallmon.imagePullSecrets" -}}
{{- range concat (.Values.global.imagePullSecrets | default list) .Values.imagePullSecrets }}
- name: {{ if kindIs "string" . }}{{ . }}{{ else }}{{ .name }}{{ end }}
{{- end }}
{{- end }}

{{/* `on` and `off` without quotes are booleans in YAML 1.1: takes them for what was meant. */}}
{{- define "syscallmon.switch" -}}
{{- if kindIs "bool" . }}{{ ternary "on" "off" . }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{/* "true" where the Kubernetes API is asked, else empty. */}}
{{- define "syscallmon.asksApiForNames" -}}
{{- if ne (include "syscallmon.switch" .Values.names.kubernetes) "off" }}true{{ end }}
{{- end }}

{{- define "syscallmon.usesApi" -}}
{{- if or (include "syscallmon.asksApiForNames" .) .Values.alerts.kubernetesEvents }}true{{ end }}
{{- end }}

{{/* Ports of the servers that alerts are sent to, from `config`: a JSON object, since a template returns text. */}}
{{- define "syscallmon.alertPorts" -}}
{{- $ports := dict }}
{{- $urls := list (dig "alert" "alertmanager" "url" "" .Values.config) (dig "alert" "webhook" "url" "" .Values.config) }}
{{- range $url := $urls }}
{{- range kindIs "slice" $url | ternary $url (list $url) }}
{{- if and . (kindIs "string" .) }}
{{- $parsed := urlParse . }}
{{- $port := regexFind ":[0-9]+$" $parsed.host | trimPrefix ":" | default (eq $parsed.scheme "https" | ternary "443" "80") }}
{{- $_ := set $ports $port true }}
{{- end }}
{{- end }}
{{- end }}
{{- $ports | toJson }}
{{- end }}

{{/* What PodMonitor and ServiceMonitor have in common, beside the endpoint. */}}
{{- define "syscallmon.monitor" -}}
{{- $monitor := .monitor -}}
selector:
  matchLabels:
    {{- include "syscallmon.selectorLabels" .root | nindent 4 }}
{{- if $monitor.namespace }}
namespaceSelector:
  matchNames: [{{ include "syscallmon.namespace" .root }}]
{{- end }}
{{- with $monitor.sampleLimit }}
sampleLimit: {{ . | int }}
{{- end }}
{{- with $monitor.jobLabel }}
jobLabel: {{ . }}
{{- end }}
{{- with $monitor.podTargetLabels }}
podTargetLabels:
{{ toYaml . }}
{{- end }}
{{- with $monitor.attachMetadata }}
attachMetadata:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What PodMonitor and ServiceMonitor have in common, for one endpoint. */}}
{{- define "syscallmon.endpoint" -}}
{{- $monitor := .monitor -}}
port: metrics
path: {{ include "syscallmon.telemetryPath" .root }}
scheme: {{ .root.Values.web.scheme | lower }}
{{- with $monitor.interval }}
interval: {{ . }}
{{- end }}
{{- with $monitor.scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- with $monitor.tlsConfig }}
tlsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $monitor.basicAuth }}
basicAuth:
  {{- toYaml . | nindent 2 }}
{{- end }}
# namespace, pod and container are those of the workloads that are counted.
honorLabels: true
relabelings:
# Those of the daemon's own pod would be put on what runs in no pod, such as the node's services.
- action: labeldrop
  regex: namespace|pod|container|endpoint|service
{{- if not $monitor.jobLabel }}
- targetLabel: job
  replacement: syscallmon
{{- end }}
- sourceLabels: [__meta_kubernetes_pod_node_name]
  targetLabel: instance
{{- with $monitor.relabelings }}
{{ toYaml . }}
{{- end }}
{{- with $monitor.metricRelabelings }}
metricRelabelings:
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What the schema cannot say. */}}
{{- define "syscallmon.validate" -}}
{{- if dig "web" "listen_address" "" .Values.config }}
{{- fail "config.web.listen_address has no effect: set port" }}
{{- end }}
{{- if dig "web" "config" "file" "" .Values.config }}
{{- fail "config.web.config.file has no effect: set web.configSecret" }}
{{- end }}
{{- $flags := dict "--config.file" "config" "--web.listen-address" "port" "--path.cgroupfs" "nothing, the chart mounts it" "--names.cri" "cri" "--names.docker" "names.docker" "--names.podman" "names.podman" "--names.kubernetes" "names.kubernetes" "--pin.directory" "pin" "--pin.lease" "pin.lease" "--policy.directory" "policies" "--state.directory" "state" "--alert.kubernetes-events" "alerts.kubernetesEvents" "--web.config.file" "web.configSecret" }}
{{- $lists := list "--alert.alertmanager.labels" "--alert.alertmanager.url" "--alert.webhook.headers" "--latency.buckets" "--latency.syscalls" "--workload.drop" "--workload.keep" "--workload.labels" }}
{{- $seen := dict }}
{{- $before := "" }}
{{- range .Values.extraArgs }}
{{- if not (or (hasPrefix "-" .) (regexMatch "^--[^=]+$" $before)) }}
{{- fail (printf "extraArgs: %s is neither a flag nor the value of one" (quote .)) }}
{{- end }}
{{- $before = . }}
{{- $flag := regexFind "^--[a-z.-]+" . }}
{{- if hasKey $flags $flag }}
{{- fail (printf "extraArgs has %s, which the chart sets itself: set %s" $flag (get $flags $flag)) }}
{{- end }}
{{- if and $flag (hasKey $seen $flag) (not (has $flag $lists)) }}
{{- fail (printf "extraArgs has %s twice" $flag) }}
{{- end }}
{{- $_ := set $seen $flag true }}
{{- end }}
{{- if and .Values.cri.enabled (not (hasPrefix (printf "%s/" (trimSuffix "/" .Values.cri.socketDir)) .Values.cri.socket)) }}
{{- fail (printf "cri.socket (%s) is not in cri.socketDir (%s), which is what is mounted" .Values.cri.socket .Values.cri.socketDir) }}
{{- end }}
{{- if and .Values.hostNetwork (ne (dig "rollingUpdate" "maxSurge" 0 .Values.updateStrategy | toString) "0") }}
{{- fail "updateStrategy.rollingUpdate.maxSurge and hostNetwork: two pods on a node cannot have the same port" }}
{{- end }}
{{- if .Values.pin.enabled }}
{{- if not .Values.state.enabled }}
{{- fail "pin.enabled needs state.enabled: totals of workloads that ended are stored there" }}
{{- end }}
{{- if ne (dig "rollingUpdate" "maxSurge" 0 .Values.updateStrategy | toString) "0" }}
{{- fail "updateStrategy.rollingUpdate.maxSurge and pin.enabled: only one daemon of a node uses the pins, and an update has no gap without surge" }}
{{- end }}
{{- end }}
{{- if and .Values.podMonitor.enabled .Values.serviceMonitor.enabled }}
{{- fail "podMonitor.enabled and serviceMonitor.enabled: everything would be scraped twice" }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled (not .Values.service.enabled) }}
{{- fail "serviceMonitor.enabled needs service.enabled" }}
{{- end }}
{{- end }}

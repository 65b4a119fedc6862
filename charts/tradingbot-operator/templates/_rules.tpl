{{/* What the operator may do where its bots are. It holds on Leases whatever it gives to agents, so it may give it; it
reads no Secret and deletes no volume claim. */}}
{{- define "tradingbot-operator.rulesForBots" -}}
- apiGroups: [tradingbot.io]
  resources: [tradingbots]
  verbs: [get, list, watch, patch]
- apiGroups: [tradingbot.io]
  resources: [tradingbotoperations]
  verbs: [get, list, watch]
- apiGroups: [tradingbot.io]
  resources: [tradingbots/status, tradingbotoperations/status]
  verbs: [update]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, create]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, list, watch, create, patch, delete]
{{- if .Values.credentials.enabled }}
# To give the right to read a bot's Secret without having it; credentials-policy.yaml says for what alone.
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles]
  verbs: [escalate, bind]
{{- end }}
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{/* Nodes are in no namespace. */}}
{{- define "tradingbot-operator.rulesForNodes" -}}
- apiGroups: [""]
  resources: [nodes]
  verbs: [list, watch]
{{- end -}}

{{/* What the operator may do where its bots are. It holds on Leases whatever it gives to agents, so it may give it; it
reads no Secret and deletes no volume claim. */}}
{{- define "tradingbot-operator.rulesForBots" -}}
- apiGroups: [tradingbot.io]
  resources: [tradingbots, tradingbotoperations]
  verbs: [get, list, watch, update, patch]
- apiGroups: [tradingbot.io]
  resources: [tradingbots/status, tradingbotoperations/status]
  verbs: [get, update, patch]
- apiGroups: [tradingbot.io]
  resources: [tradingbots/finalizers]
  verbs: [update]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [""]
  resources: [pods, services, serviceaccounts]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, create]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, list, watch, create, update, patch, delete]
{{- if .Values.credentials.enabled }}
# To give the right to read a bot's Secret without having it; credentials-policy.yaml says for what alone.
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles]
  verbs: [escalate, bind]
{{- end }}
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{/* Nodes are in no namespace. */}}
{{- define "tradingbot-operator.rulesForNodes" -}}
- apiGroups: [""]
  resources: [nodes]
  verbs: [get, list, watch]
{{- end -}}

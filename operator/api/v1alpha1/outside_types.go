package v1alpha1

// KafkaSpec is where the log is.
type KafkaSpec struct {
	// Brokers, host:port each.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=255
	// +kubebuilder:validation:items:Pattern=`^[^\s:,/]+:[0-9]{1,5}$`
	// +listType=set
	Brokers []string `json:"brokers"`
	// What the names of topics and groups begin with.
	// +kubebuilder:default=interlink
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9._-]{1,100}$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="kafka.topicPrefix: cannot be changed, every position would be of another topic"
	TopicPrefix string `json:"topicPrefix,omitempty"`
	// Whether missing topics are made or must be there.
	// +kubebuilder:default=Create
	// +kubebuilder:validation:Enum=Create;Require
	Topics Topics `json:"topics,omitempty"`
	// After what time a dead router's partitions go to another.
	// +kubebuilder:default=6
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=300
	SessionTimeoutSeconds int32     `json:"sessionTimeoutSeconds,omitempty"`
	TLS                   *TLSSpec  `json:"tls,omitempty"`
	SASL                  *SASLSpec `json:"sasl,omitempty"`
}

// Topics is what becomes of missing topics.
type Topics string

// Values of Topics.
const (
	TopicsCreate  Topics = "Create"
	TopicsRequire Topics = "Require"
)

// TLSSpec is TLS towards Kafka or Redis; without ca, the system's authorities count.
type TLSSpec struct {
	CA *KeyRef `json:"ca,omitempty"`
}

// SASLSpec is how to log in to Kafka.
type SASLSpec struct {
	// +kubebuilder:validation:Enum=PLAIN;SCRAM-SHA-256;SCRAM-SHA-512
	Mechanism string `json:"mechanism"`
	Username  KeyRef `json:"username"`
	Password  KeyRef `json:"password"`
}

// RedisMode is how Redis is run.
type RedisMode string

// Values of RedisMode.
const (
	RedisSingle   RedisMode = "Single"
	RedisSentinel RedisMode = "Sentinel"
	RedisCluster  RedisMode = "Cluster"
)

// RedisSpec is where presence keeps its state.
// +kubebuilder:validation:XValidation:rule="(self.mode == 'Sentinel') == has(self.sentinelMaster)",message="redis.sentinelMaster: expected with mode Sentinel, and only then"
// +kubebuilder:validation:XValidation:rule="self.mode != 'Single' || size(self.addresses) == 1",message="redis.addresses: one address is expected with mode Single"
// +kubebuilder:validation:XValidation:rule="self.mode != 'Cluster' || self.database == 0",message="redis.database: 0 is expected with mode Cluster"
type RedisSpec struct {
	// +kubebuilder:default=Single
	// +kubebuilder:validation:Enum=Single;Sentinel;Cluster
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="redis.mode: cannot be changed"
	Mode RedisMode `json:"mode,omitempty"`
	// Redis, the sentinels, or some nodes of the cluster, host:port each.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=255
	// +kubebuilder:validation:items:Pattern=`^[^\s:,/]+:[0-9]{1,5}$`
	// +listType=set
	Addresses []string `json:"addresses"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	SentinelMaster string  `json:"sentinelMaster,omitempty"`
	Username       *KeyRef `json:"username,omitempty"`
	Password       *KeyRef `json:"password,omitempty"`
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65536
	Database int32 `json:"database,omitempty"`
	// +kubebuilder:default="interlink:"
	// +kubebuilder:validation:MaxLength=64
	Prefix string   `json:"prefix,omitempty"`
	TLS    *TLSSpec `json:"tls,omitempty"`
}

// AuthSpec is who may connect, and what the house's callers prove themselves with.
// +kubebuilder:validation:XValidation:rule="has(self.nextAuth) || has(self.jwt) || has(self.sessionURL)",message="auth: nobody could sign in; one of nextAuth, jwt and sessionURL is expected"
type AuthSpec struct {
	NextAuth *NextAuthSpec `json:"nextAuth,omitempty"`
	// Signs plain HS256 tokens and tickets.
	JWT *KeyPair `json:"jwt,omitempty"`
	// Next.js as the pods reach it.
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^https?://\S+$`
	APIBaseURL string `json:"apiBaseURL,omitempty"`
	// Where to ask about sessions that are kept in a database.
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^https?://\S+$`
	SessionURL string `json:"sessionURL,omitempty"`
	// Where to ask who may do what in a room.
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^https?://\S+$`
	AuthorizeURL string `json:"authorizeURL,omitempty"`
	// What Next.js publishes with over HTTP.
	// +kubebuilder:default={managed: {rotation: Manual, rotationDays: 30, overlapHours: 24}}
	InternalAPIKey APIKeySpec `json:"internalApiKey,omitempty"`
	// What cursors are signed with; nobody outside holds it.
	// +kubebuilder:default={rotation: Scheduled, rotationDays: 30, overlapHours: 1}
	CursorKey ManagedKey `json:"cursorKey,omitempty"`
}

// KeyPair is a key that others sign with; previous is still taken.
type KeyPair struct {
	Current  KeyRef  `json:"current"`
	Previous *KeyRef `json:"previous,omitempty"`
	// How long the value before an edit of current is still taken.
	// +kubebuilder:default=24
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=8784
	OverlapHours int32 `json:"overlapHours,omitempty"`
}

// NextAuthSpec is NextAuth's sealing of sessions.
// +kubebuilder:validation:XValidation:rule="has(self.current) != has(self.derivedKey)",message="auth.nextAuth.current: one of current and derivedKey is expected"
// +kubebuilder:validation:XValidation:rule="!has(self.previous) || has(self.current)",message="auth.nextAuth.previous: expected only with current"
type NextAuthSpec struct {
	// +kubebuilder:default=5
	// +kubebuilder:validation:Enum=4;5
	Version int32 `json:"version,omitempty"`
	// Names of the session cookie; the first that a request has decides.
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:Pattern=`^[^,;=\s]+$`
	// +listType=set
	Cookies []string `json:"cookies,omitempty"`
	// The public address of Next.js.
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^https?://\S+$`
	URL      string  `json:"url,omitempty"`
	Current  *KeyRef `json:"current,omitempty"`
	Previous *KeyRef `json:"previous,omitempty"`
	// The key made of the secret, instead of the secret.
	DerivedKey *KeyRef `json:"derivedKey,omitempty"`
	// +kubebuilder:default=24
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=8784
	OverlapHours int32 `json:"overlapHours,omitempty"`
}

// APIKeySpec is a key of one's own, or one that the operator makes.
// +kubebuilder:validation:XValidation:rule="has(self.secret) != has(self.managed)",message="auth.internalApiKey: one of secret and managed is expected"
type APIKeySpec struct {
	Secret *KeyRef `json:"secret,omitempty"`
	// With secret: how long its value before an edit is still taken at least, and until nobody uses it.
	// +kubebuilder:default=24
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=8784
	OverlapHours int32       `json:"overlapHours,omitempty"`
	Managed      *ManagedKey `json:"managed,omitempty"`
}

// Rotation is what begins a rotation.
type Rotation string

// Values of Rotation.
const (
	RotationManual    Rotation = "Manual"
	RotationScheduled Rotation = "Scheduled"
)

// ManagedKey is a key that the operator makes and rotates.
// +kubebuilder:validation:XValidation:rule="self.overlapHours < self.rotationDays * 24",message="overlapHours: expected less than rotationDays"
type ManagedKey struct {
	// Manual: only when the annotation realtime.edumatrix.io/rotate-NAME changes. Callers read a key when they start.
	// +kubebuilder:default=Manual
	// +kubebuilder:validation:Enum=Manual;Scheduled
	Rotation Rotation `json:"rotation,omitempty"`
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3650
	RotationDays int32 `json:"rotationDays,omitempty"`
	// +kubebuilder:default=24
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=8784
	OverlapHours int32 `json:"overlapHours,omitempty"`
}

// ExposureSpec is how browsers get in.
// +kubebuilder:validation:XValidation:rule="!(has(self.httpRoute) && has(self.ingress))",message="exposure.ingress: expected only without httpRoute"
// +kubebuilder:validation:XValidation:rule="!(has(self.httpRoute) || has(self.ingress)) || (has(self.hosts) && size(self.hosts) > 0)",message="exposure.hosts: a host is expected with httpRoute or ingress"
type ExposureSpec struct {
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9*]([a-z0-9.-]*[a-z0-9])?$`
	// +listType=set
	Hosts     []string       `json:"hosts,omitempty"`
	HTTPRoute *HTTPRouteSpec `json:"httpRoute,omitempty"`
	Ingress   *IngressSpec   `json:"ingress,omitempty"`
	// Proxies whose X-Forwarded-For is believed, addresses or networks.
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:Pattern=`^[0-9a-fA-F.:]+(/[0-9]{1,3})?$`
	// +listType=set
	TrustedProxies []string `json:"trustedProxies,omitempty"`
}

// HTTPRouteSpec is the Gateway API's way in.
type HTTPRouteSpec struct {
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	ParentRefs []ParentRef `json:"parentRefs"`
	// Whether the route asks for requests without a time limit; some implementations refuse any time-outs.
	// +kubebuilder:default=Omit
	// +kubebuilder:validation:Enum=Omit;Unlimited
	Timeouts string `json:"timeouts,omitempty"`
}

// ParentRef names a Gateway.
type ParentRef struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
	// +kubebuilder:validation:MaxLength=253
	SectionName string `json:"sectionName,omitempty"`
}

// IngressSpec is an Ingress.
type IngressSpec struct {
	// +kubebuilder:validation:MaxLength=253
	ClassName string `json:"className,omitempty"`
	// What annotations the controller needs for connections that stay open.
	// +kubebuilder:default=Plain
	// +kubebuilder:validation:Enum=Plain;Traefik;Nginx;ALB
	Profile string `json:"profile,omitempty"`
	// Secret with the certificate of the hosts.
	TLS *LocalName `json:"tls,omitempty"`
	// +kubebuilder:validation:MaxProperties=32
	Annotations map[string]string `json:"annotations,omitempty"`
}

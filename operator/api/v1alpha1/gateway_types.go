package v1alpha1

// GatewaySpec is about the pods that browsers are connected to.
// +kubebuilder:validation:XValidation:rule="2 * self.heartbeat.intervalSeconds + self.heartbeat.timeoutSeconds + 5 <= self.resume.windowSeconds",message="gateway.resume.windowSeconds: expected twice heartbeat.intervalSeconds, heartbeat.timeoutSeconds and 5 s, or more"
type GatewaySpec struct {
	Workload `json:",inline"`
	// Replicas with scaling mode Fixed, or as HPA or KEDA set it by the scale subresource with External.
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Replicas int32 `json:"replicas,omitempty"`
	// +kubebuilder:default={mode: Connections}
	Scaling GatewayScaling `json:"scaling,omitempty"`
	// +kubebuilder:default={endpointDelaySeconds: 15, spreadSeconds: 240, gracePeriodSeconds: 300}
	Drain DrainSpec `json:"drain,omitempty"`
	// +kubebuilder:default={}
	Heartbeat HeartbeatSpec `json:"heartbeat,omitempty"`
	// +kubebuilder:default={}
	Limits LimitsSpec `json:"limits,omitempty"`
	// +kubebuilder:default={}
	Resume ResumeSpec `json:"resume,omitempty"`
}

// ScalingMode is who decides how many gateways there are.
type ScalingMode string

// Values of ScalingMode.
const (
	ScalingFixed       ScalingMode = "Fixed"
	ScalingConnections ScalingMode = "Connections"
	ScalingExternal    ScalingMode = "External"
	ScalingKafkaLag    ScalingMode = "KafkaLag"
)

// GatewayScaling says how many gateways there are.
type GatewayScaling struct {
	// +kubebuilder:default=Connections
	// +kubebuilder:validation:Enum=Fixed;Connections;External
	Mode ScalingMode `json:"mode,omitempty"`
	// +kubebuilder:default={minReplicas: 2, maxReplicas: 20, targetPerPod: 8000, maxPerPod: 12000}
	Connections ConnectionScaling `json:"connections,omitempty"`
}

// ConnectionScaling follows the number of sockets.
// +kubebuilder:validation:XValidation:rule="self.minReplicas <= self.maxReplicas",message="gateway.scaling.connections.minReplicas: expected at most maxReplicas"
// +kubebuilder:validation:XValidation:rule="self.targetPerPod <= self.maxPerPod",message="gateway.scaling.connections.targetPerPod: expected at most maxPerPod"
type ConnectionScaling struct {
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MinReplicas int32 `json:"minReplicas,omitempty"`
	// +kubebuilder:default=20
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MaxReplicas int32 `json:"maxReplicas,omitempty"`
	// +kubebuilder:default=8000
	// +kubebuilder:validation:Minimum=1
	TargetPerPod int32 `json:"targetPerPod,omitempty"`
	// Sockets that one pod takes; more are refused there and come to another.
	// +kubebuilder:default=12000
	// +kubebuilder:validation:Minimum=1
	MaxPerPod int32 `json:"maxPerPod,omitempty"`
	// Deviation from the target that changes nothing.
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=90
	TolerancePercent int32 `json:"tolerancePercent,omitempty"`
	// +kubebuilder:default={maxPods: 8, periodSeconds: 30}
	ScaleUp ScaleRate `json:"scaleUp,omitempty"`
	// +kubebuilder:default={}
	ScaleDown ScaleDown `json:"scaleDown,omitempty"`
	// Share of the pods that must answer before one is taken away.
	// +kubebuilder:default=80
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	MinCoveragePercent int32 `json:"minCoveragePercent,omitempty"`
}

// ScaleRate bounds growth.
type ScaleRate struct {
	// +kubebuilder:default=8
	// +kubebuilder:validation:Minimum=1
	MaxPods int32 `json:"maxPods,omitempty"`
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=1
	PeriodSeconds int32 `json:"periodSeconds,omitempty"`
}

// ScaleDown bounds shrinking: one pod at a time, the emptiest first.
type ScaleDown struct {
	// The highest number recommended in this time counts.
	// +kubebuilder:default=900
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	StabilizationSeconds int32 `json:"stabilizationSeconds,omitempty"`
	// Time between two pods.
	// +kubebuilder:default=300
	// +kubebuilder:validation:Minimum=1
	PeriodSeconds int32 `json:"periodSeconds,omitempty"`
}

// DrainSpec is how a gateway that ends lets its clients go elsewhere.
// +kubebuilder:validation:XValidation:rule="self.endpointDelaySeconds + self.spreadSeconds + 10 <= self.gracePeriodSeconds",message="gateway.drain.gracePeriodSeconds: expected endpointDelaySeconds, spreadSeconds and 10 s, or more"
type DrainSpec struct {
	// Not ready, but still taking clients, until load balancers know.
	// +kubebuilder:default=15
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=120
	EndpointDelaySeconds int32 `json:"endpointDelaySeconds,omitempty"`
	// Over what time the transports are closed.
	// +kubebuilder:default=240
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3600
	SpreadSeconds int32 `json:"spreadSeconds,omitempty"`
	// Cluster autoscalers wait 600 s at most.
	// +kubebuilder:default=300
	// +kubebuilder:validation:Minimum=10
	// +kubebuilder:validation:Maximum=3720
	GracePeriodSeconds int32 `json:"gracePeriodSeconds,omitempty"`
	// Gateways that drain at once in a rollout.
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	MaxConcurrent int32 `json:"maxConcurrent,omitempty"`
}

// HeartbeatSpec is Engine.IO's ping.
type HeartbeatSpec struct {
	// +kubebuilder:default=25
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=300
	IntervalSeconds int32 `json:"intervalSeconds,omitempty"`
	// +kubebuilder:default=20
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=300
	TimeoutSeconds int32 `json:"timeoutSeconds,omitempty"`
}

// LimitsSpec bounds what one client may cost.
type LimitsSpec struct {
	// How long a client may take to say who it is.
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=120
	ConnectTimeoutSeconds int32 `json:"connectTimeoutSeconds,omitempty"`
	// Bytes of the largest packet from a browser.
	// +kubebuilder:default=1000000
	// +kubebuilder:validation:Minimum=1024
	MaxPayload int64 `json:"maxPayload,omitempty"`
	// Bytes that may wait for one socket.
	// +kubebuilder:default=524288
	// +kubebuilder:validation:Minimum=16384
	SocketQueueBytes int64 `json:"socketQueueBytes,omitempty"`
	// +kubebuilder:default=2500
	// +kubebuilder:validation:Minimum=1
	SocketQueueEvents int32 `json:"socketQueueEvents,omitempty"`
	// New connections a second of one pod; 0: no bound.
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	ConnectRate int32 `json:"connectRate,omitempty"`
	// +kubebuilder:default=200
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	RoomsPerSocket int32 `json:"roomsPerSocket,omitempty"`
	// +kubebuilder:default=50
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	EventsPerSecond int32 `json:"eventsPerSecond,omitempty"`
	// Events that browsers may publish.
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:Pattern=`^[^,\s]+$`
	// +listType=set
	ClientEvents []string `json:"clientEvents,omitempty"`
}

// ResumeSpec is what a client may have missed and still continue.
type ResumeSpec struct {
	// +kubebuilder:default=120
	// +kubebuilder:validation:Minimum=10
	// +kubebuilder:validation:Maximum=3600
	WindowSeconds int32 `json:"windowSeconds,omitempty"`
	// +kubebuilder:default=4000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	Events int32 `json:"events,omitempty"`
	// +kubebuilder:default=4194304
	// +kubebuilder:validation:Minimum=1024
	Bytes int64 `json:"bytes,omitempty"`
}

// RouterSpec is about the pods that read Kafka.
type RouterSpec struct {
	Workload `json:",inline"`
	// Replicas with scaling mode Fixed.
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=200
	Replicas int32 `json:"replicas,omitempty"`
	// +kubebuilder:default={mode: KafkaLag}
	Scaling RouterScaling `json:"scaling,omitempty"`
	// YAML file that maps a platform's own topics to Interlink's.
	Mapping *KeyRef `json:"mapping,omitempty"`
	// Namespaces whose pods may publish by HTTP. Without any, all.
	// +kubebuilder:validation:MaxItems=16
	EmitFrom []NamespacePeer `json:"emitFrom,omitempty"`
	// Bytes that a router keeps of one partition.
	// +kubebuilder:default=67108864
	// +kubebuilder:validation:Minimum=1048576
	LogBytes int64 `json:"logBytes,omitempty"`
}

// RouterScaling says how many routers there are.
type RouterScaling struct {
	// +kubebuilder:default=KafkaLag
	// +kubebuilder:validation:Enum=Fixed;KafkaLag
	Mode ScalingMode `json:"mode,omitempty"`
	// +kubebuilder:default={minReplicas: 2, maxReplicas: 12}
	KafkaLag LagScaling `json:"kafkaLag,omitempty"`
}

// LagScaling follows what has not been read yet.
// +kubebuilder:validation:XValidation:rule="self.minReplicas <= self.maxReplicas",message="router.scaling.kafkaLag.minReplicas: expected at most maxReplicas"
type LagScaling struct {
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=200
	MinReplicas int32 `json:"minReplicas,omitempty"`
	// +kubebuilder:default=12
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=200
	MaxReplicas int32 `json:"maxReplicas,omitempty"`
	// +kubebuilder:default=1000
	// +kubebuilder:validation:Minimum=1
	TargetLagPerReplica int32 `json:"targetLagPerReplica,omitempty"`
	// The highest number recommended in this time counts.
	// +kubebuilder:default=600
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	StabilizationSeconds int32 `json:"stabilizationSeconds,omitempty"`
}

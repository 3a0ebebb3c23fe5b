package producer

import (
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// hold makes the broker answer no request of a kind until the channel is closed.
func hold(c *kfake.Cluster, until <-chan struct{}) func(kmsg.Request) (kmsg.Response, error, bool) {
	return func(kmsg.Request) (kmsg.Response, error, bool) {
		c.SleepControl(func() { <-until })
		return nil, nil, false
	}
}

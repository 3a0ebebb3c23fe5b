// Package footprint gives memory back to the system when a storm is over. The Go runtime leaves about as much garbage as there is live memory,
// and what it has freed stays mapped for long: after many sockets have come at once, that is more than they need at rest.
package footprint

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	lookEvery = 10 * time.Second
	quiet     = 1 << 20 // bytes a second that are allocated at rest at most
	least     = 2 << 20 // bytes that a collection is worth
	gcPercent = 25
)

// Usage is the heap at a moment, in bytes.
type Usage struct {
	Live      uint64 // found by the last collection
	Mapped    uint64 // held of the system: objects, garbage, gaps and free spans
	Allocated uint64 // since the process began
}

// Keeper looks every ten seconds. When little is allocated and the heap holds an eighth more than is live, 2 MiB at least, it has everything
// collected and given back: that costs three collections, and is not done again before as much has gathered anew.
type Keeper struct {
	Read  func() Usage // nil: of this process
	Trim  func()       // nil: collections until little is left to give back
	last  Usage
	spare uint64 // what no collection gives back: gaps between objects
}

// Pace has the collector run when a quarter as much garbage as live memory has gathered, unless GOGC says otherwise. At the runtime's own pace the
// garbage of connects lies between what stays of them, and leaves gaps of half its size that nothing gives back (docs/decisions/0006-memory.md).
func Pace() {
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(gcPercent)
	}
}

// Run blocks until ctx ends; it returns nil.
func (k *Keeper) Run(ctx context.Context) error {
	if k.Read == nil {
		k.Read = reader()
	}
	if k.Trim == nil {
		k.Trim = giveBack
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	k.last = k.Read()
	for {
		select {
		case <-tick.C:
			k.look()
		case <-ctx.Done():
			return nil
		}
	}
}

// giveBack collects more than once: with each collection the stack of a goroutine that needs less of it shrinks by half.
func giveBack() {
	runtime.GC()
	runtime.GC()
	debug.FreeOSMemory()
}

func (k *Keeper) look() {
	now := k.Read()
	busy := now.Allocated-k.last.Allocated > quiet*uint64(lookEvery/time.Second)
	k.last = now
	if busy || now.spare() < k.spare+max(least, now.Live/8) {
		return
	}
	k.Trim()
	k.last = k.Read()
	k.spare = k.last.spare()
}

// spare is what is held beyond the live memory.
func (u Usage) spare() uint64 { return u.Mapped - min(u.Mapped, u.Live) }

func reader() func() Usage {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	return func() Usage {
		metrics.Read(samples)
		u := Usage{Live: samples[0].Value.Uint64(), Allocated: samples[1].Value.Uint64()}
		for _, s := range samples[2:] {
			u.Mapped += s.Value.Uint64()
		}
		return u
	}
}

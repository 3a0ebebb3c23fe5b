package memstore_test

import (
	"testing"
	"time"

	"github.com/edumatrix/interlink/services/presence/internal/memstore"
	"github.com/edumatrix/interlink/services/presence/internal/store"
	"github.com/edumatrix/interlink/services/presence/internal/store/storetest"
)

func open(*testing.T) storetest.Subject {
	clock := storetest.NewClock()
	s := memstore.New(memstore.Options{Settings: storetest.Settings(), Now: clock.Now})
	return storetest.Subject{Store: s, Another: func() storetest.Store { return s }, Advance: clock.Advance, Flush: s.Flush}
}

func TestContract(t *testing.T) { storetest.Run(t, open) }

func TestAnotherRunForgetsTheLease(t *testing.T) {
	s := memstore.New(memstore.Options{})
	lease := store.Lease{Life: store.Life{Gateway: "g", Incarnation: "i"}}
	renew := func() store.Renewal {
		r, err := s.Renew(t.Context(), lease, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := renew()
	if _, err := s.Sync(t.Context(), lease.Life, true, nil); err != nil {
		t.Fatal(err)
	}
	if renew().Forgotten {
		t.Error("forgotten within the run")
	}
	s.Restart()
	if second := renew(); !second.Forgotten || second.Run == first.Run {
		t.Errorf("after a restart: %+v, before: %+v", second, first)
	}
}

package roster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	presencev1 "github.com/edumatrix/interlink/proto/presence/v1"
)

// service is a presence service that can be away, or forget.
type service struct {
	presencev1.PresenceClient
	mu       sync.Mutex // guards what follows
	away     bool
	late     []func() // calls that timed out and are still to be done
	hangs    bool     // calls time out, and lie there until it goes on
	run      string
	lease    bool
	renewals int
	synced   []string
	peers    map[string]string
	listings int           // questions for the gateways
	slow     time.Duration // between the store's answer to such a question and its arrival
}

func (s *service) call(f func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return errors.New("away")
	}
	if s.hangs {
		s.late = append(s.late, f)
		return errors.New("timeout")
	}
	f()
	return nil
}

func (s *service) Renew(context.Context, *presencev1.RenewRequest, ...grpc.CallOption) (*presencev1.RenewResponse, error) {
	answer := &presencev1.RenewResponse{}
	return answer, s.call(func() {
		answer.Run, answer.Forgotten = s.run, !s.lease
		s.lease = true
		s.renewals++
	})
}

func (s *service) Sync(_ context.Context, r *presencev1.SyncRequest, _ ...grpc.CallOption) (*presencev1.SyncResponse, error) {
	answer := &presencev1.SyncResponse{}
	return answer, s.call(func() {
		if answer.Forgotten = !s.lease; answer.Forgotten {
			return
		}
		if r.Full {
			s.synced = append(s.synced, "full")
		}
		for _, c := range r.Changes {
			s.synced = append(s.synced, fmt.Sprint(c.Kind, " ", c.User, " ", c.Socket))
		}
	})
}

func (s *service) Gateways(context.Context, *presencev1.GatewaysRequest, ...grpc.CallOption) (*presencev1.GatewaysResponse, error) {
	answer := &presencev1.GatewaysResponse{}
	var slow time.Duration
	defer func() { time.Sleep(slow) }()
	return answer, s.call(func() {
		slow = s.slow
		s.listings++
		for id, addr := range s.peers {
			answer.Gateways = append(answer.Gateways, &presencev1.Gateway{Gateway: id, Addr: addr})
		}
	})
}

func (s *service) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// take returns what was synced since the last call.
func (s *service) take() []string {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.synced
	s.synced = nil
	return out
}

type rig struct {
	*Roster
	service   *service
	mu        sync.Mutex
	sockets   []string
	forgotten int
}

func (r *rig) online(user, socket string) {
	r.mu.Lock()
	r.sockets = append(r.sockets, user+" "+socket)
	r.mu.Unlock()
	r.Online(user, socket)
}

func withRoster(t *testing.T, test func(*rig)) { begin(t, false, test) }

func begin(t *testing.T, away bool, test func(*rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{service: &service{run: "1", away: away, peers: map[string]string{"g": "here:1"}}}
		r.Roster = New(Options{
			Client: r.service, Gateway: "g", Incarnation: "i", Lease: 9 * time.Second, Logger: slog.New(slog.DiscardHandler),
			Forgotten: func() { r.forgotten++ },
			All: func(context.Context) ([]*presencev1.Change, error) {
				r.mu.Lock()
				defer r.mu.Unlock()
				var out []*presencev1.Change
				for _, s := range r.sockets {
					c := &presencev1.Change{Kind: presencev1.Change_ONLINE}
					if _, err := fmt.Sscan(s, &c.User, &c.Socket); err != nil {
						return nil, err
					}
					out = append(out, c)
				}
				return out, nil
			},
		})
		ctx, cancel := context.WithCancel(context.Background())
		var run sync.WaitGroup
		run.Go(func() {
			if err := r.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(time.Second)
		r.service.take()
		test(r)
		cancel()
		run.Wait()
	})
}

func TestChangesAreToldInOrderAndBatched(t *testing.T) {
	withRoster(t, func(r *rig) {
		r.online("a", "1")
		r.online("b", "2")
		r.Offline("a", "1", true)
		r.Offline("b", "2", false)
		time.Sleep(batchEvery)
		want := []string{"ONLINE a 1", "ONLINE b 2", "LEFT a 1", "LOST b 2"}
		if got := r.service.take(); !slices.Equal(got, want) {
			t.Errorf("told %v, want %v", got, want)
		}
	})
}

func TestTheLeaseIsRenewedThriceWithinIt(t *testing.T) {
	withRoster(t, func(r *rig) {
		var before, after int
		r.service.set(func() { before = r.service.renewals })
		time.Sleep(9 * time.Second)
		synctest.Wait()
		r.service.set(func() { after = r.service.renewals })
		if after-before != 3 {
			t.Errorf("%d renewals, want 3", after-before)
		}
		if r.forgotten != 0 {
			t.Error("the first lease counts as forgotten")
		}
	})
}

func TestALeaseThatWasNotToBeHadIsSoonClaimedAgain(t *testing.T) {
	begin(t, true, func(r *rig) {
		if r.Settled() {
			t.Error("settled, and others can't find this gateway")
		}
		r.service.set(func() { r.service.away = false })
		time.Sleep(lastRetry)
		synctest.Wait()
		if !r.Settled() || r.service.renewals == 0 {
			t.Errorf("settled: %v after %d renewals", r.Settled(), r.service.renewals)
		}
	})
}

func TestPresenceThatStaysAwayIsNotWaitedForLongerThanALease(t *testing.T) {
	begin(t, true, func(r *rig) {
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if !r.Settled() {
			t.Error("still waiting for presence")
		}
	})
}

func TestWhatPresenceForgotIsToldAgain(t *testing.T) {
	withRoster(t, func(r *rig) {
		r.online("a", "1")
		time.Sleep(time.Second)
		r.service.take()
		r.service.set(func() { r.service.lease = false })
		r.online("b", "2") // the answer says that the lease is not known
		time.Sleep(time.Second)
		if got := r.service.take(); !slices.Equal(got, []string{"full", "ONLINE a 1", "ONLINE b 2"}) {
			t.Errorf("told %v", got)
		}
		if r.forgotten != 1 {
			t.Errorf("forgotten %d times, want 1", r.forgotten)
		}
		r.service.set(func() { r.service.run = "2" }) // restarted, and the lease came back from disk
		time.Sleep(4 * time.Second)
		if got := r.service.take(); len(got) != 3 || got[0] != "full" || r.forgotten != 2 {
			t.Errorf("told %v, forgotten %d times", got, r.forgotten)
		}
	})
}

func TestWithPresenceAwayChangesAddUpAndTooManyBecomeAll(t *testing.T) {
	withRoster(t, func(r *rig) {
		r.service.set(func() { r.service.away = true })
		r.online("a", "1")
		time.Sleep(10 * time.Second)
		r.online("b", "2")
		r.service.set(func() { r.service.away = false })
		time.Sleep(5 * time.Second)
		if got := r.service.take(); !slices.Equal(got, []string{"ONLINE a 1", "ONLINE b 2"}) {
			t.Errorf("told %v", got)
		}
		r.service.set(func() { r.service.away = true })
		for i := range pendingMax + 1 {
			r.Offline("x", fmt.Sprint(i), false)
		}
		time.Sleep(time.Second)
		r.mu.Lock()
		r.Roster.mu.Lock()
		if !r.full || len(r.changes) != 0 {
			t.Errorf("%d changes wait", len(r.changes))
		}
		r.Roster.mu.Unlock()
		r.mu.Unlock()
		r.service.set(func() { r.service.away = false })
		time.Sleep(5 * time.Second)
		if got := r.service.take(); !slices.Equal(got, []string{"full", "ONLINE a 1", "ONLINE b 2"}) {
			t.Errorf("told %v", got)
		}
	})
}

func TestGatewaysAreLocated(t *testing.T) {
	withRoster(t, func(r *rig) {
		ctx := context.Background()
		if addr, known, err := r.Locate(ctx, "g"); addr != "here:1" || !known || err != nil {
			t.Errorf("got %q, %v, %v", addr, known, err)
		}
		r.service.set(func() { r.service.peers["new"] = "there:2" })
		if addr, known, err := r.Locate(ctx, "new"); addr != "there:2" || !known || err != nil {
			t.Errorf("a new one: got %q, %v, %v", addr, known, err)
		}
		if _, known, err := r.Locate(ctx, "gone"); known || err != nil {
			t.Errorf("one that is gone: %v, %v", known, err)
		}
		r.service.set(func() { r.service.away = true })
		if _, known, err := r.Locate(ctx, "gone"); known || err == nil {
			t.Error("with presence away a gateway that is not known must be in doubt")
		}
		if addr, known, err := r.Locate(ctx, "new"); addr != "there:2" || !known || err != nil {
			t.Errorf("with presence away the last known must stay: %q, %v, %v", addr, known, err)
		}
	})
}

func TestAGatewayThatIsNewerThanTheQuestionUnderWayIsLocated(t *testing.T) {
	withRoster(t, func(r *rig) {
		r.service.set(func() { r.service.slow = time.Second })
		var asking sync.WaitGroup
		asking.Go(func() {
			if _, known, err := r.Locate(context.Background(), "made up"); known || err != nil {
				t.Errorf("made up: %v, %v", known, err)
			}
		})
		time.Sleep(500 * time.Millisecond) // the store has answered, the answer is on its way
		r.service.set(func() { r.service.peers["new"] = "there:2" })
		if addr, known, err := r.Locate(context.Background(), "new"); addr != "there:2" || !known || err != nil {
			t.Errorf("got %q, %v, %v", addr, known, err)
		}
		asking.Wait()
	})
}

func TestQuestionsForNamesThatAreMadeUpArePaced(t *testing.T) {
	withRoster(t, func(r *rig) {
		var before, after int
		r.service.set(func() { before = r.service.listings })
		began := time.Now()
		var asking sync.WaitGroup
		for i := range 20 {
			asking.Go(func() {
				for n := range 5 {
					if _, known, err := r.Locate(context.Background(), fmt.Sprint(i, " ", n)); known || err != nil {
						t.Errorf("%v, %v", known, err)
					}
				}
			})
		}
		asking.Wait()
		r.service.set(func() { after = r.service.listings })
		most := int(time.Since(began)/askEvery) + 1
		if after-before > most+1 { // one is the lease's own
			t.Errorf("%d questions within %v", after-before, time.Since(began))
		}
	})
}

func TestCallsThatAreDoneLateAreMendedByTellingAllAnewOnce(t *testing.T) {
	withRoster(t, func(r *rig) {
		r.service.set(func() { r.service.hangs = true })
		r.online("a", "1")
		time.Sleep(time.Second)
		r.mu.Lock()
		r.sockets = nil
		r.mu.Unlock()
		r.Offline("a", "1", true)
		time.Sleep(time.Second)
		var late []func()
		r.service.set(func() { r.service.hangs, late = false, r.service.late })
		time.Sleep(3 * time.Second)
		r.service.set(func() { late[0]() }) // the first try arrives behind all others
		got := r.service.take()
		if len(got) < 3 || got[len(got)-1] != "ONLINE a 1" {
			t.Fatalf("told %v: that is not the case to be mended", got)
		}
		time.Sleep(9 * time.Second)
		if got := r.service.take(); !slices.Equal(got, []string{"full"}) {
			t.Errorf("told %v, want everything anew", got)
		}
		time.Sleep(30 * time.Second)
		if got := r.service.take(); len(got) > 0 {
			t.Errorf("told %v, want nothing more", got)
		}
	})
}

package keyring

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// story plays a ring over time; each step changes something, plans once, and says what it looks like then.
type story struct {
	t    *testing.T
	ring Ring
	in   Input
	made int
}

func managed(t *testing.T) *story {
	s := &story{t: t}
	s.in = Input{Now: time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC), Overlap: time.Hour, Every: 30 * 24 * time.Hour,
		Fresh: func() string { s.made++; return fmt.Sprintf("k%d", s.made) }, Pods: []Pod{{Name: "a", Answered: true}, {Name: "b", Answered: true}}}
	return s
}

func (s *story) after(d time.Duration) *story { s.in.Now = s.in.Now.Add(d); return s }

// load has pods report everything in the ring.
func (s *story) load(pods ...string) *story {
	for i := range s.in.Pods {
		if slices.Contains(pods, s.in.Pods[i].Name) {
			s.in.Pods[i].Loaded = nil
			for _, k := range s.ring.Keys {
				s.in.Pods[i].Loaded = append(s.in.Pods[i].Loaded, ID(k))
			}
		}
	}
	return s
}

func (s *story) want(keys string, phase Phase) Report {
	s.t.Helper()
	var report Report
	s.ring, report = Plan(s.ring, s.in)
	if got := strings.Join(s.ring.Keys, ","); got != keys || s.ring.Phase != phase {
		s.t.Errorf("%s: ring %s in phase %s, want %s in %s", s.in.Now.Format(time.DateTime), got, s.ring.Phase, keys, phase)
	}
	return report
}

func TestAManagedKeyGoesThroughItsPhases(t *testing.T) {
	s := managed(t)
	s.want("k1", Stable)
	s.load("a", "b").after(29*24*time.Hour).want("k1", Stable)
	s.after(24*time.Hour).want("k1,k2", Publishing)
	if r := s.load("a").want("k1,k2", Publishing); !slices.Equal(r.WaitingFor, []string{"b"}) || r.Next != ID("k2") {
		t.Errorf("report while publishing: %+v", r)
	}
	s.load("b").want("k2,k1", Overlap)
	s.load("a", "b").after(59*time.Minute).want("k2,k1", Overlap)
	s.after(time.Minute).want("k2", Stable)
	if r := s.want("k2", Stable); !r.NextRotation.Equal(s.ring.Promoted.Add(30 * 24 * time.Hour)) {
		t.Errorf("next rotation %v", r.NextRotation)
	}
}

func TestAPodThatDoesNotAnswerHoldsThePromotion(t *testing.T) {
	s := managed(t)
	s.want("k1", Stable)
	s.in.Asked = "please"
	s.want("k1,k2", Publishing)
	s.load("a", "b").in.Pods[1].Answered = false
	s.after(100*24*time.Hour).want("k1,k2", Publishing)
	s.in.Pods = nil
	s.want("k1,k2", Publishing)
}

func TestAskingOnceRotatesOnce(t *testing.T) {
	s := managed(t)
	s.in.Every = 0
	s.want("k1", Stable)
	s.after(365*24*time.Hour).want("k1", Stable)
	s.in.Asked = "monday"
	s.want("k1,k2", Publishing)
	s.load("a", "b").want("k2,k1", Overlap)
	s.load("a", "b").after(2*time.Hour).want("k2", Stable)
	s.after(time.Hour).want("k2", Stable)
}

func TestAKeyThatCallersStillUseStays(t *testing.T) {
	s := managed(t)
	s.in.Outside = true
	s.want("k1", Stable)
	s.in.Asked = "now"
	s.want("k1,k2", Publishing)
	s.load("a", "b").want("k2,k1", Overlap)
	s.load("a", "b").after(3 * time.Hour)
	s.in.Pods[1].LastUse = map[string]time.Time{ID("k1"): s.in.Now.Add(-10 * time.Minute)}
	if r := s.want("k2,k1", Overlap); !slices.Equal(r.UsedAt, []string{"b"}) || r.LastUse.IsZero() {
		t.Errorf("report: %+v", r)
	}
	s.after(51*time.Minute).want("k2", Stable)
}

func TestAnEditOfASecretIsARotation(t *testing.T) {
	s := managed(t)
	s.in.Fresh, s.in.Wanted = nil, []string{"old"}
	s.want("old", Stable)
	s.in.Wanted = []string{"new"}
	s.want("old,new", Publishing)
	s.in.Wanted = []string{"newer"}
	s.want("old,newer", Publishing)
	s.load("a", "b").want("newer,old", Overlap)
	s.in.Wanted = []string{"old"} // back, while the old one is still taken
	s.want("newer,old", Publishing)
	s.load("a", "b").want("old,newer", Overlap)
	s.load("a", "b").after(time.Hour).want("old", Stable)
}

func TestAnEditThatIsTakenBackIsForgotten(t *testing.T) {
	s := managed(t)
	s.in.Wanted = []string{"old"}
	s.want("old", Stable)
	s.in.Wanted = []string{"oops"}
	s.want("old,oops", Publishing)
	s.in.Wanted = []string{"old"}
	s.want("old", Stable)
}

func TestWhileASecretIsMissingNothingChanges(t *testing.T) {
	s := managed(t)
	s.in.Wanted = []string{"old"}
	s.want("old", Stable)
	s.in.Wanted = []string{"new"}
	s.want("old,new", Publishing)
	s.in.Wanted, s.in.Unknown = s.ring.Keys, true
	s.load("a", "b").after(time.Hour).want("old,new", Publishing)
	s.in.Wanted, s.in.Unknown = []string{"new"}, false
	s.want("new,old", Overlap)
	s.in.Wanted, s.in.Unknown = s.ring.Keys, true
	s.load("a", "b").after(100*time.Hour).want("new,old", Overlap)
}

func TestAPreviousKeyThatTheResourceNamesIsKept(t *testing.T) {
	s := managed(t)
	s.in.Wanted = []string{"new", "old"}
	s.want("new,old", Stable)
	s.after(1000*time.Hour).want("new,old", Stable)
}

func TestIDsAreTheServices(t *testing.T) {
	if got := ID("a key"); got != "dc269945" {
		t.Error(got)
	}
}

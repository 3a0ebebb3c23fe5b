package lru

import (
	"testing"
	"time"
)

func TestMap(t *testing.T) {
	t0 := time.Unix(1000, 0)
	m := New[string, int](2)
	m.Put("a", 1, t0.Add(time.Minute))
	m.Put("b", 2, t0.Add(time.Minute))
	if v, ok := m.Get("a", t0); !ok || v != 1 {
		t.Fatalf("Get(a) = %d, %v", v, ok)
	}
	m.Put("c", 3, t0.Add(time.Second))
	if _, ok := m.Get("b", t0); ok {
		t.Error("b was used longest ago and is still there")
	}
	if _, ok := m.Get("c", t0.Add(time.Second)); ok {
		t.Error("c is there at its end")
	}
	if m.Len() != 1 {
		t.Errorf("Len = %d after the end of c, want 1", m.Len())
	}
	m.Put("a", 9, t0.Add(time.Hour))
	if v, _ := m.Get("a", t0.Add(time.Minute)); v != 9 {
		t.Errorf("Get(a) = %d after a second Put, want 9", v)
	}
	m.Put("d", 4, t0.Add(time.Hour))
	m.DeleteFunc(func(k string) bool { return k == "a" })
	m.Delete("nobody")
	if _, ok := m.Get("a", t0); ok || m.Len() != 1 {
		t.Errorf("after DeleteFunc: a there %v, Len %d", ok, m.Len())
	}
	m.Delete("d")
	if m.Len() != 0 || len(m.entries) != 0 {
		t.Errorf("Len %d, entries %d after all were deleted", m.Len(), len(m.entries))
	}
}

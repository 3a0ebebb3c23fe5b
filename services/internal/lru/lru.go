// Package lru owns a bounded map whose entries end at a time of their own; when it is full, the entry that was used
// longest ago makes room. It has no lock and no clock: its owner brings both.
package lru

import (
	"container/list"
	"time"
)

// Map holds at most Max entries. The zero value is unusable, see New.
//
// Invariant: order and entries hold the same keys, the last used first.
type Map[K comparable, V any] struct {
	max     int
	order   *list.List
	entries map[K]*list.Element
}

type entry[K comparable, V any] struct {
	key   K
	value V
	ends  time.Time
}

// New makes a Map of at most max entries; less than one is one.
func New[K comparable, V any](max int) *Map[K, V] {
	if max < 1 {
		max = 1
	}
	return &Map[K, V]{max: max, order: list.New(), entries: make(map[K]*list.Element)}
}

// Get returns the value of key unless it has ended by now.
func (m *Map[K, V]) Get(key K, now time.Time) (V, bool) {
	el, ok := m.entries[key]
	if !ok {
		var zero V
		return zero, false
	}
	e := el.Value.(*entry[K, V])
	if !now.Before(e.ends) {
		m.remove(el)
		var zero V
		return zero, false
	}
	m.order.MoveToFront(el)
	return e.value, true
}

// Put stores a value until ends, in place of an older one of the same key.
func (m *Map[K, V]) Put(key K, value V, ends time.Time) {
	if el, ok := m.entries[key]; ok {
		e := el.Value.(*entry[K, V])
		e.value, e.ends = value, ends
		m.order.MoveToFront(el)
		return
	}
	if m.order.Len() >= m.max {
		m.remove(m.order.Back())
	}
	m.entries[key] = m.order.PushFront(&entry[K, V]{key: key, value: value, ends: ends})
}

// Delete forgets a key; an unknown one is no error.
func (m *Map[K, V]) Delete(key K) {
	if el, ok := m.entries[key]; ok {
		m.remove(el)
	}
}

// DeleteFunc forgets every key that gone admits. It looks at all entries.
func (m *Map[K, V]) DeleteFunc(gone func(K) bool) {
	for key, el := range m.entries {
		if gone(key) {
			m.remove(el)
		}
	}
}

// Len counts the entries, those included that have ended and were not asked for since.
func (m *Map[K, V]) Len() int { return m.order.Len() }

func (m *Map[K, V]) remove(el *list.Element) {
	delete(m.entries, el.Value.(*entry[K, V]).key)
	m.order.Remove(el)
}

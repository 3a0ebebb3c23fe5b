package redisstore

import (
	"fmt"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/edumatrix/interlink/services/presence/internal/store"
)

// Shards are fixed: another number would look for everything in another place.
const (
	userShards = 64
	roomShards = 16
)

// userShard says where everything about a user lives.
func userShard(user string) int { return int(xxhash.Sum64String(user) % userShards) }

// roomShard says where typing in a room lives.
func roomShard(room string) int { return int(xxhash.Sum64String(room) % roomShards) }

func (s *Store) userBase(shard int) string { return fmt.Sprintf("%s{p%02d}:", s.prefix, shard) }
func (s *Store) roomBase(shard int) string { return fmt.Sprintf("%s{t%02d}:", s.prefix, shard) }
func (s *Store) leasesKey() string         { return s.prefix + "{lease}:gateways" }
func (s *Store) baseKey(base string) string {
	return s.prefix + "base:" + base
}

func (s *Store) permissionKey(user, room string) string {
	return s.userBase(userShard(user)) + "perm:" + user + "\n" + room
}

func (s *Store) removalKey(user, room string) string {
	return s.userBase(userShard(user)) + "gone:" + user + "\n" + room
}

// A life is written gateway TAB incarnation; neither may contain control characters.
func lifeName(l store.Life) string { return l.Gateway + "\t" + l.Incarnation }

func parseLife(s string) store.Life {
	gateway, incarnation, _ := strings.Cut(s, "\t")
	return store.Life{Gateway: gateway, Incarnation: incarnation}
}

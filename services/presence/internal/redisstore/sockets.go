package redisstore

import (
	"context"
	"slices"

	"github.com/edumatrix/interlink/services/presence/internal/store"
)

var kindNames = map[store.ChangeKind]string{store.Online: "online", store.Left: "left", store.Lost: "lost"}

// Sync applies changes of a gateway's sockets, in order for each user. With full they name every socket of the life;
// what is not among them is lost. The result holds what was applied even if an error is returned with it.
func (s *Store) Sync(ctx context.Context, life store.Life, full bool, changes []store.Change) (store.Synced, error) {
	known, err := s.held(ctx, life, false)
	if err != nil {
		return store.Synced{}, err
	}
	if known == 0 || (known == 1 && !full) {
		return store.Synced{Forgotten: true}, nil
	}
	replies, failure := s.runAll(ctx, s.syncCalls(life, full, changes))
	var out store.Synced
	for _, reply := range replies {
		if reply == nil {
			continue
		}
		r, err := asRow(reply)
		if err != nil {
			return out, s.failed(ctx, "sync", err)
		}
		out.Transitions = append(out.Transitions, transitions(r.rows(0))...)
		for _, t := range r.rows(1) {
			out.Typing = append(out.Typing, store.Typist{Room: t.text(0), User: t.text(1), Socket: t.text(2)})
		}
	}
	if failure != nil || !full {
		return out, failure
	}
	known, err = s.held(ctx, life, true)
	out.Forgotten = err == nil && known == 0
	return out, err
}

// syncCalls groups changes by shard. A delta is cut into scripts of bounded length; a full one is one script a shard.
func (s *Store) syncCalls(life store.Life, full bool, changes []store.Change) []call {
	const most = 500 // changes in one script: a few milliseconds of the server
	byShard := make([][]store.Change, userShards)
	for _, c := range changes {
		n := userShard(c.User)
		byShard[n] = append(byShard[n], c)
	}
	var calls []call
	for shard, list := range byShard {
		switch {
		case full:
			calls = append(calls, s.syncCall(shard, life, true, list))
		default:
			for part := range slices.Chunk(list, most) {
				calls = append(calls, s.syncCall(shard, life, false, part))
			}
		}
	}
	return calls
}

func (s *Store) syncCall(shard int, life store.Life, full bool, changes []store.Change) call {
	base, name, flag := s.userBase(shard), lifeName(life), 0
	if full {
		flag = 1
	}
	args := make([]any, 0, 7+3*len(changes))
	args = append(args, s.stamp(), base, name, s.settings.Grace.Milliseconds(), s.settings.SeenTTL.Milliseconds(),
		store.StatusWait.Milliseconds(), flag)
	for _, c := range changes {
		args = append(args, kindNames[c.Kind], c.User, c.Socket)
	}
	return call{"sync", []string{base + "due", base + "lives", base + "g:" + name, base + "users"}, args}
}

// Query reads the state of users, every one asked for.
func (s *Store) Query(ctx context.Context, users []string) (map[string]store.State, error) {
	byShard := make(map[int][]string)
	for _, u := range users {
		n := userShard(u)
		byShard[n] = append(byShard[n], u)
	}
	var calls []call
	var asked [][]string
	for shard, list := range byShard {
		base := s.userBase(shard)
		for part := range slices.Chunk(list, 500) {
			keys, args := make([]string, 0, len(part)), []any{base}
			for _, u := range part {
				keys = append(keys, base+"m:"+u)
				args = append(args, u)
			}
			calls = append(calls, call{"query", keys, args})
			asked = append(asked, part)
		}
	}
	replies, err := s.runAll(ctx, calls)
	if err != nil {
		return nil, err
	}
	out := make(map[string]store.State, len(users))
	for i, reply := range replies {
		for n, r := range (row{reply}).rows(0) {
			out[asked[i][n]] = store.State{Online: r.text(0) == "1", Status: r.text(1), Seen: r.time(2), Sockets: int(r.number(3))}
		}
	}
	return out, nil
}

// SetStatus sets a user's own status text. It returns what is to be told, nothing if that changes nothing or the user
// is not online; then the text waits store.StatusWait for his first socket.
func (s *Store) SetStatus(ctx context.Context, user, status string) ([]store.Transition, error) {
	base := s.userBase(userShard(user))
	reply, err := s.runOne(ctx, call{"status", []string{base + "m:" + user, base + "k:" + user},
		[]any{s.stamp(), user, status, store.StatusWait.Milliseconds(), s.settings.SeenTTL.Milliseconds()}})
	if err != nil {
		return nil, err
	}
	return transitions((row{reply}).rows(0)), nil
}

// Tick takes what is over in every shard, at most limit deadlines of each, and finds ended lives, given those that are
// alive. A change is returned to one caller only, even if an error comes with it.
func (s *Store) Tick(ctx context.Context, alive []store.Life, limit int) (store.Tick, error) {
	calls := make([]call, userShards)
	for shard := range calls {
		base := s.userBase(shard)
		args := []any{s.stamp(), base, s.settings.Grace.Milliseconds(), s.settings.SeenTTL.Milliseconds(), limit}
		for _, l := range alive {
			args = append(args, lifeName(l))
		}
		calls[shard] = call{"tick", []string{base + "due", base + "lives", base + "users"}, args}
	}
	replies, err := s.runAll(ctx, calls)
	var out store.Tick
	for shard, reply := range replies {
		if reply == nil {
			continue
		}
		r, rerr := asRow(reply)
		if rerr != nil {
			return out, s.failed(ctx, "tick", rerr)
		}
		out.Transitions = append(out.Transitions, transitions(r.rows(0))...)
		out.Expired += int(r.number(1))
		for _, name := range r.texts(2) {
			out.Dead = append(out.Dead, store.Dead{Shard: shard, Life: parseLife(name)})
		}
		out.Users += r.number(3)
		out.More = out.More || r.number(4) == 1
	}
	return out, err
}

// Sweep removes up to limit sockets of an ended life from one shard. It does nothing if the life has come back.
func (s *Store) Sweep(ctx context.Context, dead store.Dead, limit int) (store.Swept, error) {
	base, name := s.userBase(dead.Shard), lifeName(dead.Life)
	reply, err := s.runOne(ctx, call{"sweep", []string{base + "lives", base + "g:" + name, base + "users"},
		[]any{s.stamp(), base, name, s.settings.Grace.Milliseconds(), s.settings.SeenTTL.Milliseconds(), limit}})
	if err != nil {
		return store.Swept{}, err
	}
	r, err := asRow(reply)
	if err != nil {
		return store.Swept{}, s.failed(ctx, "sweep", err)
	}
	return store.Swept{Transitions: transitions(r.rows(0)), Sockets: int(r.number(1)), Left: int(r.number(2))}, nil
}

package placement

// Gone is told by a router that the log has nothing of a partition between the position it was asked for and earliest.
// If that is still the position here, it moves there and Gone reports true: what lay between is lost to every session,
// and the caller ends them before it offers another range.
func (c *Core) Gone(id Stream, p uint32, position, earliest int64) bool {
	s := c.streams[id]
	if s == nil || !s.owned[p] || int(p) >= len(c.positions) || c.positions[p] != position || position == Unknown || earliest <= position {
		return false
	}
	c.positions[p] = earliest
	return true
}

package load

import (
	"slices"

	"github.com/edumatrix/interlink/test/checker"
)

// Delays returns the milliseconds from a time given for each id to each of its handlers, sorted, of the clients that
// wanted accepts (all, if it is nil).
func Delays(from map[string]int64, clients []checker.Client, wanted func(name string) bool) []int64 {
	var list []int64
	for _, c := range clients {
		if wanted != nil && !wanted(c.Name) {
			continue
		}
		for _, o := range c.Observations {
			if at, ok := from[o.ID]; ok && o.Kind == checker.Handled {
				list = append(list, o.Time-at)
			}
		}
	}
	slices.Sort(list)
	return list
}

// Percentile returns the pth of sorted values, 0 of none.
func Percentile(sorted []int64, p float64) int64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(float64(len(sorted))*p/100), len(sorted)-1)]
}

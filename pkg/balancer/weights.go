package balancer

import "sort"

// weights maps slots of a cycle to keys.
type weights struct {
	ends   []int64 // ends[i] is the first slot behind those of key i
	total  int64
	stride int64
}

func newWeights(all []int64) weights {
	var w weights
	var common int64
	for _, n := range all {
		common = gcd(common, n)
	}
	w.ends = make([]int64, len(all))
	for i, n := range all {
		w.total += n / max(common, 1)
		w.ends[i] = w.total
	}
	w.stride = goldenStride(w.total)
	return w
}

// at is the key at a position, which visit of that key it is, counted from the first position of the cursor.
func (w *weights) at(position int64) (i int, visit int64) {
	cycle, slot := position/w.total, position%w.total
	if w.total > int64(len(w.ends)) { // with equal weights the order of the keys is smooth as it is
		slot = mulMod(slot, w.stride, w.total)
	}
	i = w.find(slot)
	first := int64(0)
	if i > 0 {
		first = w.ends[i-1]
	}
	return i, cycle*(w.ends[i]-first) + slot - first
}

// find is the key that a slot belongs to.
func (w *weights) find(slot int64) int {
	return sort.Search(len(w.ends), func(i int) bool { return w.ends[i] > slot })
}

// of is the weight of a key.
func (w *weights) of(i int) int64 {
	if i == 0 {
		return w.ends[0]
	}
	return w.ends[i] - w.ends[i-1]
}

// goldenStride is the number nearest to total/phi that is coprime to total.
func goldenStride(total int64) int64 {
	want := int64(float64(total) * 0.6180339887498949)
	for d := int64(0); d < total; d++ {
		for _, s := range [2]int64{want + d, want - d} {
			if s > 0 && s < total && gcd(s, total) == 1 {
				return s
			}
		}
	}
	return 1
}

// mulMod needs no more than 64 bits: a pool has at most 10 million slots.
func mulMod(a, b, m int64) int64 { return a * b % m }

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

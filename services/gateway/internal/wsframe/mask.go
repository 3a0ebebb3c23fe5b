package wsframe

import (
	"encoding/binary"
	"math/bits"
)

// unmask applies a key to data in place, eight bytes at a time, and returns the key rotated to the byte that follows (RFC 6455, 5.3).
func unmask(data []byte, key uint32) uint32 {
	if key == 0 {
		return 0
	}
	wide := uint64(key) | uint64(key)<<32
	for len(data) >= 32 {
		b := data[:32:32]
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
		binary.LittleEndian.PutUint64(b[8:], binary.LittleEndian.Uint64(b[8:])^wide)
		binary.LittleEndian.PutUint64(b[16:], binary.LittleEndian.Uint64(b[16:])^wide)
		binary.LittleEndian.PutUint64(b[24:], binary.LittleEndian.Uint64(b[24:])^wide)
		data = data[32:]
	}
	for len(data) >= 8 {
		binary.LittleEndian.PutUint64(data, binary.LittleEndian.Uint64(data)^wide)
		data = data[8:]
	}
	for i := range data {
		data[i] ^= byte(key)
		key = bits.RotateLeft32(key, -8)
	}
	return key
}

//go:build !linux

package engine

import (
	"errors"
	"net"
)

var errAgain = errors.New("engine: would block")

func descriptor(net.Conn, int) (int, bool) { return -1, false }

func readFD(int, []byte) (int, error) { return 0, errAgain }

func writeFD(int, []byte) (int, error) { return 0, errAgain }

func closeFD(int) {}

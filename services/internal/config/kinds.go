package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// errForm is returned by a setting's set when the value does not look as it must; the setting knows what it wants.
var errForm = errors.New("not of the expected form")

func in(group string, all ...setting) []setting {
	for i := range all {
		all[i].group = group
	}
	return all
}

func (s setting) or(def string) setting { s.def = def; return s }

func (s setting) defaultsTo(words string) setting { s.defText = words; return s }

func (s setting) asSecret() setting { s.secret = true; return s }

// value is a setting whose place in the environment does not matter.
func value(name, want, def, doc string, set func(v string) error) setting {
	return setting{name: name, want: want, def: def, doc: doc, set: func(from source) error { return set(from.text) }}
}

func known(name, doc string) setting {
	return setting{name: name, want: "a text", doc: doc}
}

func text(name string, to *string, def, doc string) setting {
	return value(name, "a text", def, doc, func(v string) error { *to = v; return nil })
}

func hidden(name string, to *string, doc string) setting {
	return text(name, to, "", doc).asSecret()
}

func secret(name string, to *Secret, doc string) setting {
	s := setting{name: name, want: "one secret, or several separated by commas", doc: doc, secret: true}
	s.set = func(from source) error {
		if len(split(from.text)) == 0 {
			return errForm
		}
		*to = to.with(from)
		return nil
	}
	return s
}

func list(name string, to *[]string, def, doc string) setting {
	return value(name, "a list separated by commas", def, doc, func(v string) error { *to = split(v); return nil })
}

func oneOf(name string, to *string, def, doc string, choices ...string) setting {
	want := strings.Join(choices[:len(choices)-1], ", ") + " or " + choices[len(choices)-1]
	return value(name, want, def, doc, func(v string) error {
		for _, choice := range choices {
			if strings.EqualFold(v, choice) {
				*to = choice
				return nil
			}
		}
		return errForm
	})
}

func truth(name string, to *bool, doc string) setting {
	return value(name, "true or false", "", doc, func(v string) error {
		b, err := strconv.ParseBool(strings.ToLower(v))
		if err != nil {
			return errForm
		}
		*to = b
		return nil
	})
}

func number(name string, to *int, def string, least, most int, doc string) setting {
	want := fmt.Sprintf("a whole number from %d to %d", least, most)
	return value(name, want, def, doc, func(v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < least || n > most {
			return errForm
		}
		*to = n
		return nil
	})
}

func port(name string, to *int, def, doc string) setting {
	s := number(name, to, def, 0, 65535, doc)
	s.want = "a port number, 0 to 65535"
	return s
}

func duration(name string, to *time.Duration, def, doc string) setting {
	return value(name, "a duration such as 250ms, 25s or 2m", def, doc, func(v string) error {
		d, err := time.ParseDuration(v)
		if err != nil || d < 0 {
			return errForm
		}
		*to = d
		return nil
	})
}

func size(name string, to *Bytes, def, doc string) setting {
	return value(name, "a size such as 512KiB, 64MiB or 1000000", def, doc, func(v string) error {
		n, err := ParseBytes(v)
		if err != nil {
			return errForm
		}
		*to = n
		return nil
	})
}

// ParseBytes reads a size: a whole number, with nothing, B, KB, MB, GB (powers of 1000) or KiB, MiB, GiB behind it.
func ParseBytes(v string) (Bytes, error) {
	digits := strings.TrimRight(v, "BKMGibkmg ")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%q is not a size such as 512KiB or 64MiB", v)
	}
	unit := map[string]int64{
		"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30,
	}[strings.ToLower(strings.TrimSpace(v[len(digits):]))]
	if unit == 0 || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is not a size such as 512KiB or 64MiB", v)
	}
	return Bytes(n * unit), nil
}

func level(name string, to *slog.Level, def, doc string) setting {
	return value(name, "debug, info, warn or error", def, doc, func(v string) error {
		levels := map[string]slog.Level{
			"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "warning": slog.LevelWarn, "error": slog.LevelError,
		}
		l, ok := levels[strings.ToLower(v)]
		if !ok {
			return errForm
		}
		*to = l
		return nil
	})
}

// address is an http(s) address of another service.
func address(name string, to *string, doc string) setting {
	return value(name, "an address such as http://next:3000", "", doc, func(v string) error {
		u, err := url.Parse(v)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return errForm
		}
		*to = strings.TrimRight(v, "/")
		return nil
	})
}

func origins(name string, to *[]string, doc string) setting {
	return value(name, "origins such as https://app.example, separated by commas", "", doc, func(v string) error {
		var out []string
		for _, one := range split(v) {
			origin, ok := Origin(one)
			if !ok {
				return fmt.Errorf("%q is not an origin", one)
			}
			out = append(out, origin)
		}
		*to = out
		return nil
	})
}

// Origin is the scheme://host[:port] of an address, as browsers write it; `*` stays.
func Origin(v string) (string, bool) {
	if v == "*" {
		return v, true
	}
	u, err := url.Parse(v)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		return "", false
	}
	host := strings.ToLower(u.Host)
	if p := u.Port(); (u.Scheme == "http" && p == "80") || (u.Scheme == "https" && p == "443") {
		host = strings.TrimSuffix(host, ":"+p)
	}
	return u.Scheme + "://" + host, true
}

func prefixes(name string, to *[]netip.Prefix, doc string) setting {
	return value(name, "addresses or networks such as 10.0.0.0/8, separated by commas", "", doc, func(v string) error {
		var out []netip.Prefix
		for _, one := range split(v) {
			if addr, err := netip.ParseAddr(one); err == nil {
				out = append(out, netip.PrefixFrom(addr, addr.BitLen()))
				continue
			}
			p, err := netip.ParsePrefix(one)
			if err != nil {
				return fmt.Errorf("%q is neither an address nor a network", one)
			}
			out = append(out, p.Masked())
		}
		*to = out
		return nil
	})
}

// listen is host:port to listen on, the host may be empty.
func listen(name string, to *string, def, doc string) setting {
	return value(name, "host:port, or :port", def, doc, func(v string) error {
		if _, _, ok := hostPort(v); !ok {
			return errForm
		}
		*to = v
		return nil
	})
}

// addresses is a list of host:port to reach.
func addresses(name string, to *[]string, doc string) setting {
	return value(name, "host:port, several separated by commas", "", doc, func(v string) error {
		all := split(v)
		for _, one := range all {
			if host, _, ok := hostPort(one); !ok || host == "" {
				return fmt.Errorf("%q is not host:port", one)
			}
		}
		*to = all
		return nil
	})
}

// peers is a list of host:port, or one dns:///name:port.
func peers(name string, to *[]string, doc string) setting {
	return value(name, "host:port, several separated by commas, or one dns:///name:port", "", doc, func(v string) error {
		all := split(v)
		for _, one := range all {
			rest, isDNS := strings.CutPrefix(one, "dns:///")
			if isDNS && len(all) > 1 {
				return errors.New("dns:/// stands alone")
			}
			if host, _, ok := hostPort(rest); !ok || host == "" {
				return fmt.Errorf("%q is not host:port", one)
			}
		}
		*to = all
		return nil
	})
}

func hostPort(v string) (host, portText string, ok bool) {
	host, portText, err := net.SplitHostPort(v)
	if err != nil {
		return "", "", false
	}
	n, err := strconv.Atoi(portText)
	return host, portText, err == nil && n >= 0 && n <= 65535
}

// split cuts a comma list; blanks around and empty parts are dropped.
func split(v string) []string {
	var out []string
	for part := range strings.SplitSeq(v, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

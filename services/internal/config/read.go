package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"sort"
	"strconv"
	"strings"
)

// own is what every name of ours begins with. Other unknown names are not looked at: a .env is often shared.
const own = "INTERLINK_"

// fileSuffix makes NAME_FILE of NAME.
const fileSuffix = "_FILE"

// Environ turns KEY=VALUE lines, as os.Environ returns them, into a map.
func Environ(lines []string) map[string]string {
	env := make(map[string]string, len(lines))
	for _, line := range lines {
		if name, value, ok := strings.Cut(line, "="); ok && name != "" {
			env[name] = value
		}
	}
	return env
}

// Read makes the configuration of a process of this role. An empty value counts as none. The error joins everything
// that is wrong; each names the setting and says what is expected. No error holds a secret.
func Read(role Role, env map[string]string) (Config, error) {
	c, errs := read(role, env)
	errs = append(errs, c.check()...)
	return c, errors.Join(errs...)
}

// ReadAnyway is Read for commands that look at settings without starting a service: what a role would miss is no error.
func ReadAnyway(env map[string]string) (Config, error) {
	c, errs := read(Serve, env)
	return c, errors.Join(errs...)
}

func read(role Role, env map[string]string) (Config, []error) {
	c := Config{Role: role, given: map[string]bool{}}
	all := settings(&c)
	errs := refuseUnknown(all, env)
	values := map[string]string{}
	for _, s := range all {
		from, err := lookup(s.name, env)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		c.given[s.name] = from.text != ""
		if from.text != "" {
			values[s.name] = from.text
		} else {
			from.text = s.def
		}
		if from.text != "" && s.set != nil {
			if err := s.set(from); err != nil {
				errs = append(errs, s.wrong(from, err))
			}
		}
		c.entries = append(c.entries, s.entry(from, c.given[s.name]))
	}
	errs = append(errs, c.derive(values)...)
	return c, errs
}

// refuseUnknown names every setting of ours that does not exist, with the one that was probably meant.
func refuseUnknown(all []setting, env map[string]string) []error {
	names := make([]string, 0, len(all))
	exists := map[string]bool{}
	for _, s := range all {
		names = append(names, s.name)
		exists[s.name], exists[s.name+fileSuffix] = true, true
	}
	var unknown []string
	for name := range env {
		if strings.HasPrefix(name, own) && !exists[name] {
			unknown = append(unknown, name)
		}
	}
	sort.Strings(unknown)
	var errs []error
	for _, name := range unknown {
		errs = append(errs, fmt.Errorf("%s: there is no such setting, did you mean %s?", name, nearest(name, names)))
	}
	return errs
}

// source is a value and where it came from.
type source struct {
	name string
	path string // the file, if NAME_FILE named one
	text string
}

func lookup(name string, env map[string]string) (source, error) {
	from := source{name: name, text: env[name], path: env[name+fileSuffix]}
	switch {
	case from.path == "":
		return from, nil
	case from.text != "":
		return from, fmt.Errorf("%s and %s%s are both set, one is expected", name, name, fileSuffix)
	}
	return from, from.load()
}

// load reads the file again. A line break at the end is not part of the value.
func (s *source) load() error {
	raw, err := os.ReadFile(s.path)
	if err != nil {
		return fmt.Errorf("%s%s: a readable file is expected: %w", s.name, fileSuffix, err)
	}
	text := strings.TrimRight(string(raw), "\r\n")
	if text == "" {
		return fmt.Errorf("%s%s: the file %s is empty", s.name, fileSuffix, s.path)
	}
	s.text = text
	return nil
}

func (s setting) wrong(from source, err error) error {
	have := ""
	if !s.secret {
		have = fmt.Sprintf(", not %q", from.text)
	}
	if errors.Is(err, errForm) {
		return fmt.Errorf("%s: expected %s%s", s.name, s.want, have)
	}
	return fmt.Errorf("%s: expected %s%s: %w", s.name, s.want, have, err)
}

// derive fills in what depends on other settings. given holds what the environment itself said.
func (c *Config) derive(given map[string]string) []error {
	if c.Auth.APIBaseURL == "" {
		c.Auth.APIBaseURL = strings.TrimRight(given["NEXTAUTH_URL_INTERNAL"], "/")
	}
	if c.Auth.SessionURL == "" && c.Auth.APIBaseURL != "" {
		c.Auth.SessionURL = strings.TrimSuffix(c.Auth.APIBaseURL, "/api/auth") + "/api/auth/session"
	}
	if len(c.Public.Origins) == 0 {
		c.Public.Origins = []string{"http://localhost:3000"}
		if origin, ok := Origin(c.Auth.NextAuthURL); ok {
			c.Public.Origins = []string{origin}
		}
	}
	if !c.given["INTERLINK_CREATE_TOPICS"] {
		c.Kafka.CreateTopics = c.Role == Serve
	}
	c.deriveRole()
	if c.Dev {
		c.deriveDev()
	}
	return c.deriveRedis(given)
}

// GRPCPort is where a role listens for the others by default.
func (r Role) GRPCPort() string {
	return map[Role]string{Gateway: "9101", Router: "9102", Presence: "9103"}[r]
}

func (c *Config) deriveRole() {
	if c.Ports.GRPC == "" && c.Role != Serve {
		c.Ports.GRPC = ":" + c.Role.GRPCPort()
	}
	if c.Role != Serve && !c.given["INTERLINK_DRAIN_DELAY"] {
		c.Gateway.DrainDelay = defaultDrainDelay
	}
	if c.Role != Serve && !c.given["INTERLINK_DRAIN_SPREAD"] {
		c.Gateway.DrainSpread = defaultDrainSpread
	}
}

// deriveRedis settles where Redis is: INTERLINK_REDIS_ADDRS, else REDIS_URL, else REDIS_HOST and REDIS_PORT.
func (c *Config) deriveRedis(given map[string]string) []error {
	if len(c.Redis.Addrs) > 0 {
		return nil
	}
	if v := given["REDIS_URL"]; v != "" {
		if err := c.Redis.fromURL(v); err != nil {
			return []error{fmt.Errorf("REDIS_URL: expected redis://[user:password@]host[:port][/db], or rediss:// for TLS: %w", err)}
		}
		return nil
	}
	if host := given["REDIS_HOST"]; host != "" {
		port := given["REDIS_PORT"]
		if port == "" {
			port = "6379"
		}
		addr := net.JoinHostPort(host, port)
		if _, _, ok := hostPort(addr); !ok {
			return []error{fmt.Errorf("REDIS_PORT: expected a port number, not %q", port)}
		}
		c.Redis.Addrs = []string{addr}
	}
	return nil
}

func (r *Redis) fromURL(v string) error {
	u, err := url.Parse(v)
	if err != nil {
		return errors.New("it is not a URL") // the parser's error would show the password
	}
	if u.Scheme != "redis" && u.Scheme != "rediss" {
		return fmt.Errorf("the scheme is %q", u.Scheme)
	}
	if u.Hostname() == "" {
		return errors.New("it names no host")
	}
	port := u.Port()
	if port == "" {
		port = "6379"
	}
	r.Addrs = []string{net.JoinHostPort(u.Hostname(), port)}
	r.TLS = r.TLS || u.Scheme == "rediss"
	if name := u.User.Username(); name != "" && name != "default" {
		r.Username = name
	}
	if password, ok := u.User.Password(); ok {
		r.Password = password
	}
	if db := strings.Trim(u.Path, "/"); db != "" {
		if r.DB, err = strconv.Atoi(db); err != nil || r.DB < 0 {
			return fmt.Errorf("%q is not the number of a database", db)
		}
	}
	return nil
}

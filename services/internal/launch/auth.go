package launch

import (
	"github.com/edumatrix/interlink/services/internal/auth"
	"github.com/edumatrix/interlink/services/internal/config"
)

// AuthOptions says who may sign in.
func AuthOptions(c config.Config) auth.Options {
	o := auth.Options{NextAuthVersion: c.Auth.NextAuthVersion, Cookies: c.Auth.Cookies, SessionURL: c.Auth.SessionURL}
	if c.Auth.Secrets.Set() {
		o.Secrets = c.Auth.Secrets.Values
	}
	if c.Auth.DerivedKeys.Set() {
		o.DerivedKeys = c.Auth.DerivedKeys.Values
	}
	if c.Auth.JWTSecrets.Set() {
		o.JWTSecrets = c.Auth.JWTSecrets.Values
	}
	return o
}

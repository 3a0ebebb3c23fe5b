// Package chaos breaks things while a load runs: routers and gateways are killed, frozen and added, Redis and the
// authorizer go away. The load goes on, and the log decides whether anybody missed anything. Built with the tag `chaos`
// only: `make chaos`.
package chaos

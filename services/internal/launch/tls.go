package launch

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/edumatrix/interlink/services/internal/config"
	"github.com/edumatrix/interlink/services/internal/tlsfiles"
)

// mutual is the process' certificates, nil where the services speak plainly: without certificates, and inside one process.
func (p *process) mutual() (*tlsfiles.Mutual, error) {
	t := p.c.TLS
	if !t.Enabled() || p.c.Role == config.Serve {
		return nil, nil
	}
	if p.house != nil {
		return p.house, nil
	}
	m, err := tlsfiles.NewMutual(t.CertFile, t.KeyFile, t.CAFile)
	if err != nil {
		return nil, err
	}
	p.house = m
	p.keys.Ring("authority", m.Authorities)
	p.keys.Ring("certificate", func() [][]byte { return [][]byte{m.Certificate().Raw} })
	return m, nil
}

func (p *process) clientCredentials() (credentials.TransportCredentials, error) {
	m, err := p.mutual()
	if m == nil || err != nil {
		return insecure.NewCredentials(), err
	}
	return credentials.NewTLS(m.Client()), nil
}

// grpcOptions are for who calls and who is called.
func (p *process) grpcOptions() ([]grpc.DialOption, []grpc.ServerOption, error) {
	m, err := p.mutual()
	if m == nil || err != nil {
		return []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}, nil, err
	}
	return []grpc.DialOption{grpc.WithTransportCredentials(credentials.NewTLS(m.Client()))},
		[]grpc.ServerOption{grpc.Creds(credentials.NewTLS(m.Server()))}, nil
}

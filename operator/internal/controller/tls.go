package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/edumatrix/interlink/operator/api/v1alpha1"
	"github.com/edumatrix/interlink/operator/internal/authority"
	"github.com/edumatrix/interlink/operator/internal/keyring"
	"github.com/edumatrix/interlink/operator/internal/render"
)

// ringAuthority and ringCertificate are the names under which pods report what they trust and what they show.
const (
	ringAuthority   = "authority"
	ringCertificate = "certificate"
	// authorityOverlap is for connections that were made just before the last pod showed its new certificate.
	authorityOverlap = 2 * time.Minute
)

// authorityState is how the authority's Secret looks inside.
type authorityState struct {
	keyring.Ring
	Authorities []string `json:"authorities"`
}

// certify takes the authority a step further and issues what is missing or old.
func (r *Reconciler) certify(ctx context.Context, v *view) error {
	t := v.resource.Spec.Security.InternalTLS
	if t.Mode == v1alpha1.TLSCertManager && !r.APIs.Certificate {
		v.complain("CertManagerMissing", "spec.security.internalTLS.mode: the cluster has no cert-manager.io/v1 Certificate")
	}
	if t.Mode != v1alpha1.TLSManaged {
		return nil
	}
	name := render.AuthoritySecret(v.resource.Name)
	secret, ours, err := r.own(ctx, v, name)
	if err != nil || !ours {
		return err
	}
	var state authorityState
	if raw := secret.Data[stateKey]; raw != nil {
		if err := json.Unmarshal(raw, &state); err != nil {
			return fmt.Errorf("state in Secret %s: %s: %w", name, stateKey, err)
		}
	}
	state.Keys = state.Authorities
	shown, err := r.shown(ctx, v)
	if err != nil {
		return err
	}
	life := hours(t.AuthorityDays * 24)
	var failed error
	next, report := keyring.Plan(state.Ring, keyring.Input{
		Now: v.now, Every: life * 2 / 3, Overlap: authorityOverlap, ID: authority.ID, Pods: v.trusting(shown, state.Phase), Asked: v.resource.Annotations[annotationRotate+ringAuthority],
		Fresh: func() string {
			made, err := authority.New(v.resource.Name+"."+v.resource.Namespace, v.now, life)
			failed = err
			return made
		},
	})
	if failed != nil {
		return failed
	}
	if report.Changed != "" {
		r.Events.Eventf(v.resource, nil, corev1.EventTypeNormal, "Authority"+report.Changed, "Rotate", "internal authority: %s %s %s", report.Current, report.Next, report.Previous)
	}
	v.status.Keys = append(v.status.Keys, keyStatus(ringAuthority, next, report))
	raw, err := json.Marshal(authorityState{next, next.Keys})
	if err != nil {
		return fmt.Errorf("state of the authority: %w", err)
	}
	if err := r.keep(ctx, v, secret, map[string][]byte{stateKey: raw}); err != nil {
		return err
	}
	return r.issue(ctx, v, next.Keys)
}

// shown is the ids of the certificates that pods of each component should show.
func (r *Reconciler) shown(ctx context.Context, v *view) (map[render.Component]string, error) {
	out := map[render.Component]string{}
	for _, c := range render.Components() {
		s, err := r.secret(ctx, v, render.TLSSecret(v.resource.Name, c))
		if err != nil {
			return nil, err
		}
		if s != nil {
			out[c] = authority.ID(string(s.Data["tls.crt"]))
		}
	}
	return out, nil
}

// trusting is what pods say of authorities. In the overlap a pod counts only when it shows its newest certificate: the
// old authority is needed until all do.
func (v *view) trusting(shown map[render.Component]string, phase keyring.Phase) []keyring.Pod {
	var out []keyring.Pod
	for _, c := range render.Components() {
		for _, p := range v.pods[c] {
			if p.terminating() {
				continue
			}
			answered := p.sample.Answered && (phase != keyring.Overlap || slices.Contains(p.sample.Keys[ringCertificate], shown[c]))
			out = append(out, keyring.Pod{Name: p.Name, Answered: answered, Loaded: p.sample.Keys[ringAuthority]})
		}
	}
	return out
}

// issue keeps each component's certificate good; all of the authorities are trusted, the first signs.
func (r *Reconciler) issue(ctx context.Context, v *view, authorities []string) error {
	bundle, err := authority.Bundle(authorities)
	if err != nil {
		return err
	}
	life := hours(v.resource.Spec.Security.InternalTLS.CertificateDays * 24)
	for _, c := range render.Components() {
		secret, ours, err := r.own(ctx, v, render.TLSSecret(v.resource.Name, c))
		if err != nil {
			return err
		}
		if !ours {
			continue
		}
		names := render.DNSNames(v.resource.Namespace, v.resource.Name, c)
		cert, key := string(secret.Data["tls.crt"]), string(secret.Data["tls.key"])
		if !authority.Good(cert, authorities[0], names, v.now) {
			if cert, key, err = authority.Issue(authorities[0], names, v.now, life); err != nil {
				return err
			}
		}
		data := map[string][]byte{"tls.crt": []byte(cert), "tls.key": []byte(key), "ca.crt": []byte(bundle)}
		v.digest(data)
		if secret.ResourceVersion == "" {
			secret.Type = corev1.SecretTypeTLS
		}
		if err := r.keep(ctx, v, secret, data); err != nil {
			return err
		}
		if err := v.certificate(string(c), cert); err != nil {
			return err
		}
	}
	return v.certificate(ringAuthority, authorities[0])
}

func (v *view) certificate(name, text string) error {
	c, err := authority.Certificate(text)
	if err != nil {
		return err
	}
	v.status.Certificates = append(v.status.Certificates, v1alpha1.CertificateStatus{Name: name, NotAfter: metav1.Time{Time: c.NotAfter}})
	if left := authority.Left(c, v.now); left < 0.2 {
		v.complain("CertificateExpiring", "the certificate of %s ends %s", name, c.NotAfter.Format(time.RFC3339))
	}
	return nil
}

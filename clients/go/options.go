package akin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
)

// Option changes how Dial connects.
type Option func(*settings) error

type settings struct {
	key         string
	catalog     string
	tls         *tls.Config
	timeout     time.Duration
	idleTimeout time.Duration
	dialOptions []grpc.DialOption
}

// WithAPIKey sends an API key with every call. An empty key is not sent. Without TLS, Dial fails
// unless the address is a loopback address.
func WithAPIKey(key string) Option {
	return func(s *settings) error {
		s.key = key
		return nil
	}
}

// WithCatalog sets the catalog of requests that name none. The default is the catalog `default`.
func WithCatalog(name string) Option {
	return func(s *settings) error {
		s.catalog = name
		return nil
	}
}

// WithTLS enables TLS. A nil config trusts the certificate authorities of the system and sends no
// client certificate.
func WithTLS(config *tls.Config) Option {
	return func(s *settings) error {
		if config == nil {
			config = &tls.Config{}
		}
		s.tls = config
		return nil
	}
}

// WithTLSFiles enables TLS with PEM files. ca is a CA bundle for verifying the server; if it is
// empty, the client trusts the certificate authorities of the system. cert and key are the client
// certificate and its private key for mTLS; if they are empty, the client sends no certificate.
func WithTLSFiles(ca, cert, key string) Option {
	return func(s *settings) error {
		config := &tls.Config{}
		if ca != "" {
			pem, err := os.ReadFile(ca)
			if err != nil {
				return fmt.Errorf("akin: CA bundle: %w", err)
			}
			config.RootCAs = x509.NewCertPool()
			if !config.RootCAs.AppendCertsFromPEM(pem) {
				return fmt.Errorf("akin: CA bundle: %s contains no PEM certificate", ca)
			}
		}
		if (cert == "") != (key == "") {
			return errors.New("akin: a client certificate requires its private key, and vice versa")
		}
		if cert != "" {
			pair, err := tls.LoadX509KeyPair(cert, key)
			if err != nil {
				return fmt.Errorf("akin: client certificate: %w", err)
			}
			config.Certificates = []tls.Certificate{pair}
		}
		s.tls = config
		return nil
	}
}

// WithTimeout sets the deadline of unary calls whose context has none. The default is
// DefaultTimeout, and 0 means no deadline. It does not change AnalysisTimeout or imports.
func WithTimeout(timeout time.Duration) Option {
	return func(s *settings) error {
		s.timeout = timeout
		return nil
	}
}

// WithIdleTimeout sets the idle timeout of streams: a stream fails with UNAVAILABLE if the server sends
// no message for this time, and does not answer a health check in the second half of it. The default
// is DefaultIdleTimeout, and 0 means no idle timeout.
func WithIdleTimeout(timeout time.Duration) Option {
	return func(s *settings) error {
		s.idleTimeout = timeout
		return nil
	}
}

// WithDialOptions passes options to gRPC. They override those that this package sets.
func WithDialOptions(opts ...grpc.DialOption) Option {
	return func(s *settings) error {
		s.dialOptions = append(s.dialOptions, opts...)
		return nil
	}
}

type apiKey struct {
	key    string
	secure bool
}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (k apiKey) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + k.key}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (k apiKey) RequireTransportSecurity() bool {
	return k.secure
}

// isLoopback reports whether traffic to an address stays on this machine. It returns false for an
// address in a form that it does not know.
func isLoopback(address string) bool {
	if strings.HasPrefix(address, "unix:") || strings.HasPrefix(address, "unix-abstract:") {
		return true
	}
	for _, scheme := range []string{"dns:///", "dns:", "passthrough:///"} {
		if rest, ok := strings.CutPrefix(address, scheme); ok {
			address = rest
			break
		}
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

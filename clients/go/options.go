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
	tls         *tls.Config
	timeout     time.Duration
	dialOptions []grpc.DialOption
}

// WithAPIKey sends a key with every call; an empty one is not sent. Dial refuses a key without
// WithTLS or WithTLSFiles, except to an address of this machine.
func WithAPIKey(key string) Option {
	return func(s *settings) error {
		s.key = key
		return nil
	}
}

// WithTLS encrypts the connection; nil means the system's authorities and no client certificate.
func WithTLS(config *tls.Config) Option {
	return func(s *settings) error {
		if config == nil {
			config = &tls.Config{}
		}
		s.tls = config
		return nil
	}
}

// WithTLSFiles is WithTLS from PEM files: the authorities to trust, or empty for the system's, and
// the client's own certificate and key, or empty for none.
func WithTLSFiles(ca, cert, key string) Option {
	return func(s *settings) error {
		config := &tls.Config{}
		if ca != "" {
			pem, err := os.ReadFile(ca)
			if err != nil {
				return fmt.Errorf("akin: authorities: %w", err)
			}
			config.RootCAs = x509.NewCertPool()
			if !config.RootCAs.AppendCertsFromPEM(pem) {
				return fmt.Errorf("akin: authorities: %s has no certificate in PEM", ca)
			}
		}
		if (cert == "") != (key == "") {
			return errors.New("akin: a client certificate and its key go together")
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

// WithTimeout sets the deadline of unary calls whose context has none, in place of DefaultTimeout;
// with 0 they have none. AnalysisTimeout stays what it is, and imports have only their context's.
func WithTimeout(timeout time.Duration) Option {
	return func(s *settings) error {
		s.timeout = timeout
		return nil
	}
}

// WithDialOptions passes options on to gRPC; they win over what this package sets.
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

// isLoopback says whether what goes to the address surely stays on this machine; an address in a
// form that it does not know does not.
func isLoopback(address string) bool {
	if strings.HasPrefix(address, "unix:") || strings.HasPrefix(address, "unix-abstract:") {
		return true
	}
	for _, scheme := range []string{"dns:///", "dns:", "passthrough:///"} {
		if rest, found := strings.CutPrefix(address, scheme); found {
			address = rest
			break
		}
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

package akin_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	akin "akin.dev/go"
	"akin.dev/go/akinv1"
)

// selfSigned writes a self-signed certificate for localhost and its private key.
func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
	}
	public, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return writePEM(t, "CERTIFICATE", public), writePEM(t, "PRIVATE KEY", encoded)
}

func writePEM(t *testing.T, kind string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func serveTLS(t *testing.T, certificate, key string) (address string) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(pair.Leaf)
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: trusted,
	})))
	behavior := recommenderServer{get: func(context.Context) error { return nil }}
	akinv1.RegisterRecommenderServiceServer(server, behavior)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return "localhost:" + port
}

// With mTLS, a call succeeds only if both sides trust the certificate of the other.
func TestTLSWithAClientCertificate(t *testing.T) {
	certificate, key := selfSigned(t)
	address := serveTLS(t, certificate, key)
	short := akin.WithTimeout(300 * time.Millisecond)
	for name, test := range map[string]struct {
		files akin.Option
		code  codes.Code
	}{
		"both":           {akin.WithTLSFiles(certificate, certificate, key), codes.OK},
		"no certificate": {akin.WithTLSFiles(certificate, "", ""), codes.Unavailable},
		"no authority":   {akin.WithTLSFiles("", certificate, key), codes.Unavailable},
	} {
		client := dial(t, address, short, test.files, akin.WithAPIKey("secret"))
		_, err := client.Recommender.GetItem(t.Context(), &akinv1.GetItemRequest{})
		// The deadline can pass between two attempts.
		code := status.Code(err)
		if code != test.code && (test.code == codes.OK || code != codes.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

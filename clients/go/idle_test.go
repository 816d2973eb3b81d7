package akin_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	akin "akin.dev/go"
	"akin.dev/go/akinv1"
)

// Short, so that the tests are fast, but long enough for a health check on a busy machine.
const idleTimeout = time.Second

// relay passes bytes between its callers and a server until the network between them is cut. Without a
// server, it accepts connections and never responds.
type relay struct {
	address string
	cut     atomic.Bool
}

func startRelay(t *testing.T, server string) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	r := &relay{address: listener.Addr().String()}
	go func() {
		for {
			caller, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { caller.Close() })
			if server == "" {
				continue
			}
			target, err := net.Dial("tcp", server)
			if err != nil {
				return
			}
			t.Cleanup(func() { target.Close() })
			go r.pump(caller, target)
			go r.pump(target, caller)
		}
	}()
	return r
}

func (r *relay) pump(source, sink net.Conn) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := source.Read(buffer)
		if err != nil {
			return
		}
		if !r.cut.Load() {
			sink.Write(buffer[:n])
		}
	}
}

// importError imports items and returns the error that ends the import.
func importError(ctx context.Context, client *akin.Client, items iter.Seq[*akinv1.Item]) error {
	for _, err := range client.Import(ctx, items) {
		if err != nil {
			return err
		}
	}
	return nil
}

// An import ends with an error that names the server if the network drops all bytes silently.
func TestAVanishedServerEndsAnImport(t *testing.T) {
	var sizes []int
	server := serveRecommender(t, recommenderServer{importItems: echo(&sizes, "")})
	network := startRelay(t, server)
	client := dial(t, network.address, akin.WithIdleTimeout(idleTimeout))
	items := func(yield func(*akinv1.Item) bool) {
		for item := range numberedItems(5000, "x") {
			if item.GetItemId() == "1000" {
				network.cut.Store(true)
			}
			if !yield(item) {
				return
			}
		}
	}
	err := importError(t.Context(), client, items)
	var decoded *akin.Error
	if !errors.As(err, &decoded) || decoded.Code != codes.Unavailable {
		t.Fatalf("got %v", err)
	}
	if !strings.Contains(decoded.Message, network.address+" has not responded for 1 seconds") {
		t.Errorf("the message is %q", decoded.Message)
	}
}

// An import ends with an error if the peer accepts the connection and never responds.
func TestASilentListenerEndsAnImport(t *testing.T) {
	client := dial(t, startRelay(t, "").address, akin.WithIdleTimeout(idleTimeout))
	err := importError(t.Context(), client, numberedItems(1, "x"))
	if status.Code(err) != codes.Unavailable {
		t.Errorf("got %v", err)
	}
}

// pings counts health checks, which fail with its code.
type pings struct {
	healthpb.UnimplementedHealthServer
	code  codes.Code
	count atomic.Int32
	third chan struct{}
}

func (p *pings) Check(
	context.Context, *healthpb.HealthCheckRequest,
) (*healthpb.HealthCheckResponse, error) {
	if p.count.Add(1) == 3 {
		close(p.third)
	}
	return &healthpb.HealthCheckResponse{}, status.Error(p.code, "scripted")
}

// An import waits for a slow server that answers health checks, even with an error.
func TestASlowServerDoesNotEndAnImport(t *testing.T) {
	for _, code := range []codes.Code{codes.OK, codes.Unimplemented, codes.Unavailable} {
		t.Run(code.String(), func(t *testing.T) {
			health := &pings{code: code, third: make(chan struct{})}
			behavior := recommenderServer{importItems: func(stream itemStream) error {
				if _, err := stream.Recv(); err != nil {
					return err
				}
				<-health.third
				if err := stream.Send(&akinv1.ImportItemsResponse{}); err != nil {
					return err
				}
				_, err := stream.Recv()
				if errors.Is(err, io.EOF) {
					return nil
				}
				return err
			}}
			register := func(server *grpc.Server) { healthpb.RegisterHealthServer(server, health) }
			address := serveRecommender(t, behavior, register)
			client := dial(t, address, akin.WithIdleTimeout(idleTimeout))
			if err := importError(t.Context(), client, numberedItems(1, "x")); err != nil {
				t.Error(err)
			}
		})
	}
}

// A proxy of the environment is not used for a server on this machine.
func TestNoProxyIsUsedOnThisMachine(t *testing.T) {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		t.Setenv(name, "http://127.0.0.1:1")
	}
	address := serveRecommender(t, recommenderServer{get: func(context.Context) error { return nil }})
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1:", "localhost:", "LOCALHOST:", "dns:///localhost:"} {
		client := dial(t, host+port)
		if _, err := client.Recommender.GetItem(t.Context(), &akinv1.GetItemRequest{}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// Package akin is the Go client of Akin, a recommendation service.
//
// Package akinv1 contains the calls and messages of the API. This package adds deadlines, retries,
// TLS, API keys, typed errors and streaming imports. It follows version 0.2.0 of the API.
package akin

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"

	"akin.dev/go/akinv1"
)

// DefaultTimeout is the deadline of a unary call whose context has none. It includes retries.
const DefaultTimeout = 10 * time.Second

// AnalysisTimeout is the deadline of FindDuplicates, FindOutliers and ClusterItems if the context has
// none. These calls examine a whole catalog. They respond shortly before their deadline with the
// results for the items examined so far.
const AnalysisTimeout = 10 * time.Minute

// DefaultIdleTimeout is the idle timeout of streams.
const DefaultIdleTimeout = 20 * time.Second

// connectParams bounds the pause between two attempts to connect. gRPC lengthens a pause by up to 20%,
// so the client connects within 5 s after the server is back.
var connectParams = grpc.ConnectParams{
	Backoff: backoff.Config{
		BaseDelay: time.Second, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 4 * time.Second,
	},
	MinConnectTimeout: 5 * time.Second,
}

// While a call runs and the server sends nothing, the client pings the server after Time, and closes
// the connection if Timeout passes without a response. Servers accept a ping every 10 s. The sum
// exceeds DefaultIdleTimeout, whose error explains more.
var keepaliveParams = keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 15 * time.Second}

// Servers accept and send at most 16 MiB. The limit here only has to be larger, so that the server's
// error reaches the caller.
const maxMessageBytes = 64 << 20

// Five attempts, the maximum of gRPC, with pauses of about 0.5, 1, 2 and 4 s outlast a restart of the
// server within the default deadline. If the connection broke after a write was stored, the retry
// finds it stored: DeleteItem returns NOT_FOUND, and a write with an expected sequence returns
// ABORTED. Calls are spread over all addresses of the server's name, and so is a retry.
//
//go:embed service_config.json
var serviceConfig string

// Client is a connection to an Akin server. Any number of goroutines can share it.
//
// Calls return errors of type *Error. A request with an empty catalog name uses the catalog of the
// client, which is `default` unless Catalog or WithCatalog chose another one.
type Client struct {
	// Recommender has the calls for items, users and recommendations.
	Recommender akinv1.RecommenderServiceClient

	// Catalogs has the calls that manage catalogs, change their settings and re-embed them.
	Catalogs akinv1.CatalogServiceClient

	// Interactions has the calls that record, list and delete what users do with items. Interactions
	// to record without a time get the present one, so that a retry does not record them again.
	Interactions akinv1.InteractionServiceClient

	// Analysis has the calls for near-duplicates, outliers, clusters, labels and passages.
	Analysis akinv1.AnalysisServiceClient

	conn *grpc.ClientConn
}

// Dial returns a client of the server at an address such as 127.0.0.1:50051. It connects at the
// first call. If the host has several addresses, each is a replica, and calls are spread over them.
func Dial(address string, opts ...Option) (*Client, error) {
	config := settings{timeout: DefaultTimeout, idleTimeout: DefaultIdleTimeout}
	for _, opt := range opts {
		if err := opt(&config); err != nil {
			return nil, err
		}
	}
	dialOptions, err := config.grpcOptions(address)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(address, dialOptions...)
	if err != nil {
		return nil, fmt.Errorf("akin: %w", err)
	}
	return newClient(conn, config.catalog), nil
}

// Conn returns the underlying connection, for services that have no field here, such as the health
// check of gRPC. Its calls do not use the catalog of the client.
func (c *Client) Conn() *grpc.ClientConn {
	return c.conn
}

// Close closes the connection and cancels all running calls.
func (c *Client) Close() error {
	return c.conn.Close()
}

// grpcOptions returns the dial options for an address. Those of the caller come last and win.
func (s *settings) grpcOptions(address string) ([]grpc.DialOption, error) {
	transport := insecure.NewCredentials()
	if s.tls != nil {
		transport = credentials.NewTLS(s.tls)
	}
	dialOptions := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithConnectParams(connectParams),
		grpc.WithKeepaliveParams(keepaliveParams),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(maxMessageBytes), grpc.MaxCallSendMsgSize(maxMessageBytes),
		),
		grpc.WithChainUnaryInterceptor(s.interceptUnary, setTimes),
		grpc.WithChainStreamInterceptor(s.watchStream, limitStream, decodeStream),
	}
	if isLoopback(address) {
		// The proxies of the environment are for other machines.
		dialOptions = append(dialOptions, grpc.WithNoProxy())
	}
	if s.key != "" {
		if s.tls == nil && !isLoopback(address) {
			return nil, fmt.Errorf(
				"akin: refusing to send an API key to %s without TLS: use WithTLS", address,
			)
		}
		dialOptions = append(dialOptions, grpc.WithPerRPCCredentials(apiKey{s.key, s.tls != nil}))
	}
	return append(dialOptions, s.dialOptions...), nil
}

// interceptUnary sets the deadline of a unary call and decodes its error.
func (s *settings) interceptUnary(
	ctx context.Context, method string, request, reply any, conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	ctx, cancel := withDefaultDeadline(ctx, method, s.timeout)
	defer cancel()
	// gRPC does not retry a request that is larger than this buffer. A unary request is in memory
	// anyway. Streams keep gRPC's own, small limit.
	var trailer metadata.MD
	opts = append(
		[]grpc.CallOption{grpc.MaxRetryRPCBufferSize(maxMessageBytes), grpc.Trailer(&trailer)}, opts...,
	)
	info, ctx := sendRequestID(ctx)
	err := invoke(ctx, method, request, reply, conn, opts...)
	return endCall(info, trailer, err)
}

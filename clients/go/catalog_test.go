package akin_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"google.golang.org/grpc"

	akin "akin.dev/go"
	"akin.dev/go/akinv1"
)

// catalogServer records the catalogs of its requests.
type catalogServer struct {
	akinv1.UnimplementedCatalogServiceServer
	akinv1.UnimplementedRecommenderServiceServer
	catalogs []string
}

func (s *catalogServer) UpsertItem(
	_ context.Context, request *akinv1.UpsertItemRequest,
) (*akinv1.UpsertItemResponse, error) {
	s.catalogs = append(s.catalogs, request.GetCatalog())
	return &akinv1.UpsertItemResponse{Item: request.GetItem()}, nil
}

func (s *catalogServer) ImportItems(stream itemStream) error {
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		s.catalogs = append(s.catalogs, request.GetCatalog())
		if err := stream.Send(&akinv1.ImportItemsResponse{}); err != nil {
			return err
		}
	}
}

func (s *catalogServer) DeleteCatalog(
	_ context.Context, request *akinv1.DeleteCatalogRequest,
) (*akinv1.DeleteCatalogResponse, error) {
	s.catalogs = append(s.catalogs, request.GetCatalog())
	return &akinv1.DeleteCatalogResponse{}, nil
}

// dialCatalogs returns a client of a server that records the catalogs.
func dialCatalogs(t *testing.T, opts ...akin.Option) (*akin.Client, *catalogServer) {
	t.Helper()
	server := &catalogServer{}
	listening := grpc.NewServer()
	akinv1.RegisterRecommenderServiceServer(listening, server)
	akinv1.RegisterCatalogServiceServer(listening, server)
	return dial(t, listen(t, listening), opts...), server
}

// A client of a catalog names it in requests that name none, also in those of imports. It does not
// change the request, and deletes no catalog that the caller did not name.
func TestCatalog(t *testing.T) {
	client, server := dialCatalogs(t)
	books := client.Catalog("books")
	request := &akinv1.UpsertItemRequest{Item: &akinv1.Item{ItemId: "a"}}
	response, err := books.Recommender.UpsertItem(t.Context(), request)
	if err != nil || response.GetItem().GetItemId() != "a" || request.GetCatalog() != "" {
		t.Fatalf("got %v, %v for %v", response, err, request)
	}
	other := &akinv1.UpsertItemRequest{Catalog: "films"}
	if _, err := books.Recommender.UpsertItem(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	for _, err := range books.Import(t.Context(), slices.Values([]*akinv1.Item{{ItemId: "a"}})) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := books.Catalogs.DeleteCatalog(t.Context(), &akinv1.DeleteCatalogRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Recommender.UpsertItem(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	if want := []string{"books", "films", "books", "", ""}; !slices.Equal(server.catalogs, want) {
		t.Errorf("got %q", server.catalogs)
	}
}

// The catalog of a client can be set from the start, and changed back to the default one.
func TestWithCatalog(t *testing.T) {
	client, server := dialCatalogs(t, akin.WithCatalog("books"))
	for _, bound := range []*akin.Client{client, client.Catalog("films"), client.Catalog("")} {
		if _, err := bound.Recommender.UpsertItem(t.Context(), &akinv1.UpsertItemRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"books", "films", ""}; !slices.Equal(server.catalogs, want) {
		t.Errorf("got %q", server.catalogs)
	}
}

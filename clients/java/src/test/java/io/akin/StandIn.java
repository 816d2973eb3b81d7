package io.akin;

import com.google.protobuf.Any;
import com.google.rpc.ErrorInfo;
import io.akin.v1.AnalysisServiceGrpc.AnalysisServiceImplBase;
import io.akin.v1.ClassifyTextRequest;
import io.akin.v1.ClassifyTextResponse;
import io.akin.v1.ClusterItemsRequest;
import io.akin.v1.ClusterItemsResponse;
import io.akin.v1.Extent;
import io.akin.v1.FindDuplicatesRequest;
import io.akin.v1.FindDuplicatesResponse;
import io.akin.v1.GetItemRequest;
import io.akin.v1.GetItemResponse;
import io.akin.v1.ImportItemsRequest;
import io.akin.v1.ImportItemsResponse;
import io.akin.v1.Item;
import io.akin.v1.ItemResult;
import io.akin.v1.RecommenderServiceGrpc.RecommenderServiceImplBase;
import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;

/** A server of this process that notes what it is sent, and stores nothing. */
final class StandIn extends RecommenderServiceImplBase
    implements ServerInterceptor, AutoCloseable {
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  /** How many calls are UNAVAILABLE before the first that is not. */
  final AtomicInteger failures = new AtomicInteger();

  /** How many items each message of the imports had. */
  final List<Integer> imported = new CopyOnWriteArrayList<>();

  volatile String authorization;
  volatile Deadline deadline;

  private final Server server;

  StandIn() {
    try {
      server =
          Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
              .maxInboundMessageSize(16 << 20)
              .addService(this)
              .addService(new Analyst())
              .intercept(this)
              .build()
              .start();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  String address() {
    return "127.0.0.1:" + server.getPort();
  }

  @Override
  public void close() {
    server.shutdownNow();
  }

  @Override
  public <Q, R> ServerCall.Listener<Q> interceptCall(
      ServerCall<Q, R> call, Metadata headers, ServerCallHandler<Q, R> next) {
    authorization = headers.get(AUTHORIZATION);
    deadline = Context.current().getDeadline();
    return next.startCall(call, headers);
  }

  @Override
  public void getItem(GetItemRequest request, StreamObserver<GetItemResponse> responses) {
    if (failures.getAndDecrement() > 0) {
      responses.onError(Status.UNAVAILABLE.asRuntimeException());
      return;
    }
    Item item = Item.newBuilder().setItemId(request.getItemId()).build();
    responses.onNext(GetItemResponse.newBuilder().setItem(item).build());
    responses.onCompleted();
  }

  @Override
  public StreamObserver<ImportItemsRequest> importItems(
      StreamObserver<ImportItemsResponse> responses) {
    return new StreamObserver<>() {
      @Override
      public void onNext(ImportItemsRequest request) {
        if (!request.getCatalog().isEmpty()) {
          responses.onError(Status.NOT_FOUND.asRuntimeException());
          return;
        }
        imported.add(request.getItemsCount());
        ImportItemsResponse.Builder response = ImportItemsResponse.newBuilder();
        for (Item each : request.getItemsList()) {
          response.addResults(ItemResult.newBuilder().setItemId(each.getItemId()));
        }
        responses.onNext(response.build());
      }

      @Override
      public void onError(Throwable error) {}

      @Override
      public void onCompleted() {
        responses.onCompleted();
      }
    };
  }

  /** Finds nothing; a search for the repetitions of one item fails after its first response. */
  private static final class Analyst extends AnalysisServiceImplBase {
    @Override
    public void findDuplicates(
        FindDuplicatesRequest request, StreamObserver<FindDuplicatesResponse> responses) {
      Extent extent = Extent.newBuilder().setItemCount(2).build();
      responses.onNext(FindDuplicatesResponse.newBuilder().setExtent(extent).build());
      if (!request.getItemId().isEmpty()) {
        ErrorInfo info =
            ErrorInfo.newBuilder().setReason("ITEM_NOT_FOUND").setDomain("akin").build();
        responses.onError(
            StatusProto.toStatusRuntimeException(
                com.google.rpc.Status.newBuilder()
                    .setCode(Status.Code.NOT_FOUND.value())
                    .addDetails(Any.pack(info))
                    .build()));
        return;
      }
      responses.onNext(FindDuplicatesResponse.getDefaultInstance());
      responses.onCompleted();
    }

    @Override
    public void clusterItems(
        ClusterItemsRequest request, StreamObserver<ClusterItemsResponse> responses) {
      responses.onNext(ClusterItemsResponse.getDefaultInstance());
      responses.onCompleted();
    }

    @Override
    public void classifyText(
        ClassifyTextRequest request, StreamObserver<ClassifyTextResponse> responses) {
      responses.onNext(ClassifyTextResponse.getDefaultInstance());
      responses.onCompleted();
    }
  }
}

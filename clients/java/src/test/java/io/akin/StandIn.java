package io.akin;

import com.google.protobuf.Any;
import com.google.rpc.ErrorInfo;
import io.akin.v1.AnalysisServiceGrpc.AnalysisServiceImplBase;
import io.akin.v1.ClassifyTextRequest;
import io.akin.v1.ClassifyTextResponse;
import io.akin.v1.ClusterItemsRequest;
import io.akin.v1.ClusterItemsResponse;
import io.akin.v1.Coverage;
import io.akin.v1.DuplicateGroups;
import io.akin.v1.DuplicatesProgress;
import io.akin.v1.FindDuplicatesRequest;
import io.akin.v1.FindDuplicatesResponse;
import io.akin.v1.GetItemRequest;
import io.akin.v1.GetItemResponse;
import io.akin.v1.ImportItemsRequest;
import io.akin.v1.ImportItemsResponse;
import io.akin.v1.ImportUsersRequest;
import io.akin.v1.ImportUsersResponse;
import io.akin.v1.Item;
import io.akin.v1.ItemResult;
import io.akin.v1.RecommenderServiceGrpc.RecommenderServiceImplBase;
import io.akin.v1.UpdateItemRequest;
import io.akin.v1.UpdateItemResponse;
import io.akin.v1.User;
import io.akin.v1.UserResult;
import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.ForwardingServerCall.SimpleForwardingServerCall;
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
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;

/** A server in this process that records requests and stores nothing. */
final class StandIn extends RecommenderServiceImplBase
    implements ServerInterceptor, AutoCloseable {
  /** An import into this catalog fails. */
  static final String MISSING_CATALOG = "no-such";

  /** An import into this catalog ends without a response. */
  static final String SILENT_CATALOG = "silent";

  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  private static final Metadata.Key<String> REQUEST_ID =
      Metadata.Key.of("x-request-id", Metadata.ASCII_STRING_MARSHALLER);

  private static final Metadata.Key<String> SERVER_TIMING =
      Metadata.Key.of("server-timing", Metadata.ASCII_STRING_MARSHALLER);

  /** The number of calls that fail with UNAVAILABLE before one succeeds. */
  final AtomicInteger failures = new AtomicInteger();

  /** An import into MISSING_CATALOG fails when this is zero. */
  volatile CountDownLatch failing = new CountDownLatch(0);

  /** The number of items or users in each message of the imports. */
  final List<Integer> imported = new CopyOnWriteArrayList<>();

  /** The update masks of all calls. */
  final List<List<String>> masks = new CopyOnWriteArrayList<>();

  /** The catalogs of the requests for items and of the imports of items. */
  final List<String> catalogs = new CopyOnWriteArrayList<>();

  volatile String authorization;
  volatile Deadline deadline;

  private final Server server;

  StandIn() {
    try {
      server =
          Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
              .maxInboundMessageSize(16 << 20)
              .addService(this)
              .addService(new AnalysisStandIn())
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
    return next.startCall(new WithCallInfo<>(call, headers.get(REQUEST_ID)), headers);
  }

  /** Returns the request id, and a timing to which a proxy has added entries. */
  private static final class WithCallInfo<Q, R> extends SimpleForwardingServerCall<Q, R> {
    private final String requestId;

    WithCallInfo(ServerCall<Q, R> call, String requestId) {
      super(call);
      this.requestId = requestId == null ? "made by the server" : requestId;
    }

    @Override
    public void close(Status status, Metadata trailers) {
      trailers.put(REQUEST_ID, requestId);
      trailers.put(SERVER_TIMING, "cache, embed;dur=1.500, proxy;desc=hit,total;dur=2");
      super.close(status, trailers);
    }
  }

  @Override
  public void getItem(GetItemRequest request, StreamObserver<GetItemResponse> responses) {
    catalogs.add(request.getCatalog());
    Item item = Item.newBuilder().setItemId(request.getItemId()).build();
    respond(GetItemResponse.newBuilder().setItem(item).build(), responses);
  }

  @Override
  public void updateItem(UpdateItemRequest request, StreamObserver<UpdateItemResponse> responses) {
    masks.add(List.copyOf(request.getUpdateMask().getPathsList()));
    respond(UpdateItemResponse.newBuilder().setItem(request.getItem()).build(), responses);
  }

  private <R> void respond(R response, StreamObserver<R> responses) {
    if (failures.getAndDecrement() > 0) {
      responses.onError(Status.UNAVAILABLE.asRuntimeException());
      return;
    }
    responses.onNext(response);
    responses.onCompleted();
  }

  @Override
  public StreamObserver<ImportItemsRequest> importItems(
      StreamObserver<ImportItemsResponse> responses) {
    return new Importer<>(
        ImportItemsRequest::getCatalog,
        ImportItemsRequest::getItemsCount,
        request -> {
          catalogs.add(request.getCatalog());
          ImportItemsResponse.Builder response = ImportItemsResponse.newBuilder();
          for (Item item : request.getItemsList()) {
            response.addResults(ItemResult.newBuilder().setItemId(item.getItemId()));
          }
          return response.build();
        },
        responses);
  }

  @Override
  public StreamObserver<ImportUsersRequest> importUsers(
      StreamObserver<ImportUsersResponse> responses) {
    return new Importer<>(
        ImportUsersRequest::getCatalog,
        ImportUsersRequest::getUsersCount,
        request -> {
          ImportUsersResponse.Builder response = ImportUsersResponse.newBuilder();
          for (User user : request.getUsersList()) {
            response.addResults(UserResult.newBuilder().setUserId(user.getUserId()));
          }
          return response.build();
        },
        responses);
  }

  /** Responds to each message of an import with a result for each of its resources. */
  private final class Importer<Q, R> implements StreamObserver<Q> {
    private final Function<Q, String> catalog;
    private final Function<Q, Integer> count;
    private final Function<Q, R> response;
    private final StreamObserver<R> responses;
    private boolean closed;

    Importer(
        Function<Q, String> catalog,
        Function<Q, Integer> count,
        Function<Q, R> response,
        StreamObserver<R> responses) {
      this.catalog = catalog;
      this.count = count;
      this.response = response;
      this.responses = responses;
    }

    @Override
    public void onNext(Q request) {
      if (closed) {
        return; // sent before the client received the end
      }
      if (catalog.apply(request).equals(MISSING_CATALOG)) {
        awaitFailing();
        closed = true;
        responses.onError(Status.NOT_FOUND.asRuntimeException());
      } else if (catalog.apply(request).equals(SILENT_CATALOG)) {
        closed = true;
        responses.onCompleted();
      } else {
        imported.add(count.apply(request));
        responses.onNext(response.apply(request));
      }
    }

    private void awaitFailing() {
      try {
        failing.await();
      } catch (InterruptedException e) {
        throw new IllegalStateException(e);
      }
    }

    @Override
    public void onError(Throwable error) {}

    @Override
    public void onCompleted() {
      if (!closed) {
        responses.onCompleted();
      }
    }
  }

  /** Finds nothing. A search for the near-duplicates of one item fails after its first response. */
  private static final class AnalysisStandIn extends AnalysisServiceImplBase {
    @Override
    public void findDuplicates(
        FindDuplicatesRequest request, StreamObserver<FindDuplicatesResponse> responses) {
      Coverage coverage = Coverage.newBuilder().setItemCount(2).build();
      responses.onNext(
          FindDuplicatesResponse.newBuilder()
              .setProgress(DuplicatesProgress.newBuilder().setCoverage(coverage))
              .build());
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
      responses.onNext(
          FindDuplicatesResponse.newBuilder()
              .setGroups(DuplicateGroups.newBuilder().setCoverage(coverage))
              .build());
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

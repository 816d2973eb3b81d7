package io.akin;

import io.akin.v1.AnalysisServiceGrpc;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.MethodType;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.TimeUnit;

/** Adds the API key to every call, and a default deadline to calls other than imports. */
final class CallDefaults implements ClientInterceptor {
  /** The default deadline of calls that examine a whole catalog. */
  static final Duration ANALYSIS_TIMEOUT = Duration.ofMinutes(10);

  private static final Set<String> WHOLE_CATALOG_METHODS =
      Set.of(
          AnalysisServiceGrpc.getFindDuplicatesMethod().getFullMethodName(),
          AnalysisServiceGrpc.getFindOutliersMethod().getFullMethodName(),
          AnalysisServiceGrpc.getClusterItemsMethod().getFullMethodName());

  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  private final Duration timeout;
  private final String apiKey;

  CallDefaults(Duration timeout, String apiKey) {
    this.timeout = timeout;
    this.apiKey = apiKey;
  }

  @Override
  public <Q, R> ClientCall<Q, R> interceptCall(
      MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
    boolean wholeCatalog = WHOLE_CATALOG_METHODS.contains(method.getFullMethodName());
    Duration defaultTimeout = wholeCatalog ? ANALYSIS_TIMEOUT : timeout;
    boolean needsDeadline =
        (wholeCatalog || method.getType() == MethodType.UNARY) && options.getDeadline() == null;
    ClientCall<Q, R> call =
        next.newCall(
            method,
            needsDeadline
                ? options.withDeadlineAfter(defaultTimeout.toNanos(), TimeUnit.NANOSECONDS)
                : options);
    return apiKey.isEmpty() ? call : new WithKey<>(call);
  }

  private final class WithKey<Q, R> extends SimpleForwardingClientCall<Q, R> {
    WithKey(ClientCall<Q, R> call) {
      super(call);
    }

    @Override
    public void start(Listener<R> listener, Metadata headers) {
      headers.put(AUTHORIZATION, "Bearer " + apiKey);
      super.start(listener, headers);
    }
  }
}

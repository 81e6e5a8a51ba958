import com.google.protobuf.*
import com.google.rpc.*
import io.grpc.*
import io.grpc.Status.Code
import io.grpc.protobuf.StatusProto
import java.util.concurrent.TimeUnit
import kotlin.time.Duration.Companion.nanoseconds
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.*
import zendesk.gateway.v1.*

/** A call, an error with details, an update with a mask, and a stream that is resumed. */
fun main() = runBlocking {
    val channel = Grpc.newChannelBuilder("127.0.0.1:50051", InsecureChannelCredentials.create()).build()
    val users = UserServiceGrpcKt.UserServiceCoroutineStub(channel)
    val user = users.withDeadlineAfter(10, TimeUnit.SECONDS).listUsers(ListUsersRequest.newBuilder().setPageSize(2).build()).getUsers(1)
    println("call: ${user.name}")
    try {
        users.withDeadlineAfter(10, TimeUnit.SECONDS).listUsers(ListUsersRequest.newBuilder().setPageSize(101).build())
    } catch (error: StatusException) {
        val field = error.detail(BadRequest::class.java)?.getFieldViolations(0)?.field
        println("error: ${error.status.code} ${error.detail(ErrorInfo::class.java)?.reason} $field")
    }
    // One custom field is set; the notes are cleared: the mask names them, and they are not set.
    val fields = Struct.newBuilder().putFields("plan", Value.newBuilder().setStringValue("gold").build())
    val mask = FieldMask.newBuilder().addPaths("user_fields.plan").addPaths("notes")
    val update = UpdateUserRequest.newBuilder().setId(user.id).setUser(UserInput.newBuilder().setUserFields(fields)).setUpdateMask(mask)
    val updated = users.withDeadlineAfter(10, TimeUnit.SECONDS).updateUser(update.build()).user
    println("update: ${updated.userFields.fieldsMap["plan"]?.stringValue} '${updated.notes}'")
    // Rows count once a token has come after them: what came after the last token comes again.
    val rows = mutableListOf<User>()
    val agents = UserFilter.newBuilder().addRoles(UserRole.USER_ROLE_AGENT)
    var (token, more) = "" to true
    while (more) {
        val page = mutableListOf<User>()
        try {
            more = false
            val request = StreamUsersRequest.newBuilder().setFilter(agents).setPageToken(token).build()
            users.withDeadlineAfter(60, TimeUnit.SECONDS).streamUsers(request).collect { message ->
                page += message.usersList
                more = message.nextPageToken.isNotEmpty()
                if (!more) return@collect
                rows += page
                page.clear()
                token = message.nextPageToken
            }
            rows += page // with `more` still set, the gateway is shutting down
        } catch (error: StatusException) {
            if (error.status.code !in setOf(Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED)) throw error
            more = true
            delay(error.detail(RetryInfo::class.java)?.retryDelay?.let { it.seconds.seconds + it.nanos.nanoseconds } ?: 1.seconds)
        }
    }
    println("stream: ${rows.size} agents")
}

/** The detail of this kind, if the error has one. */
fun <T : Message> StatusException.detail(kind: Class<T>): T? =
    StatusProto.fromThrowable(this)?.detailsList?.firstOrNull { it.`is`(kind) }?.unpack(kind)

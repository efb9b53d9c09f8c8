//! The whole AWS half, deployed with the real template on an emulator.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_glue::types::{Partition, Table};
use aws_sdk_sfn::types::{ExecutionStatus, HistoryEvent};
use jiff::Timestamp;
use rollcall_aws::execution::{Execution, ExecutionError, StateMachine};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::emulator::proxy::{Fault, Proxy, Rule};
use crate::emulator::{Emulator, Kind};
use crate::{Outcome, TestPortal, by_path, executables, rollcall, workspace};

/// Glue database that contains the tables of the template.
pub const DATABASE: &str = "ccd_school";
/// Name of the default dataset's table.
pub const TABLE: &str = "us_education_ccd_enrollment_data";
/// Functions, by folder name.
pub const FUNCTIONS: [&str; 3] = ["planner", "page-fetch", "catalog"];
/// Name of the stack for `dev` in `samconfig.toml`.
pub const STACK: &str = "rollcall-dev";
/// Maximum duration of an execution.
const LIMIT: Duration = Duration::from_secs(180);

/// The deployed stack and its portal.
pub struct Stack {
    /// Its name.
    pub name: String,
    /// Glue database that contains the tables of its template.
    pub database: String,
    runtime: Runtime,
    /// The portal.
    pub portal: TestPortal,
    s3: aws_sdk_s3::Client,
    glue: aws_sdk_glue::Client,
    sfn: aws_sdk_sfn::Client,
    state_machine: String,
    /// Bucket of the lake.
    pub bucket: String,
    emulator: Arc<Emulator>,
}

/// How an execution ended.
#[derive(Debug)]
pub struct Ended {
    /// Its status.
    pub status: ExecutionStatus,
    /// Its output; null when it failed.
    pub output: Value,
    /// Name of its error; empty when it succeeded.
    pub error: String,
    /// Message of its error.
    pub cause: String,
}

/// A started execution.
#[derive(Debug)]
pub struct Started {
    /// Name.
    pub name: String,
    arn: String,
}

impl Stack {
    /// Deploys `infra/template.yaml` with `sam`, without the named queries, which the emulator does not support.
    #[must_use]
    pub fn deploy() -> Self {
        Self::deploy_before(TestPortal::small())
    }

    /// Same as [`Self::deploy`], for another portal.
    #[must_use]
    pub fn deploy_before(portal: TestPortal) -> Self {
        Self::deploy_on(&Arc::new(Emulator::start(Kind::MiniStack)), portal, STACK, &[])
    }

    /// Same as [`Self::deploy`], for another portal, on an emulator that may have other stacks, with parameters such as
    /// `MapConcurrency=8`.
    ///
    /// # Panics
    /// If `sam deploy` fails.
    #[must_use]
    pub fn deploy_on(emulator: &Arc<Emulator>, portal: TestPortal, name: &str, parameters: &[&str]) -> Self {
        Self::deploy_changed_on(emulator, portal, name, parameters, |_| {})
    }

    /// Same as [`Self::deploy_on`], after `change` has changed the packaged files in a folder.
    ///
    /// # Panics
    /// If `sam deploy` fails.
    #[must_use]
    pub fn deploy_changed_on(
        emulator: &Arc<Emulator>,
        portal: TestPortal,
        name: &str,
        parameters: &[&str],
        change: impl FnOnce(&Path),
    ) -> Self {
        let origin = format!("PortalOrigin={}", portal.origin());
        let deployed = sam_deploy_changed(emulator, name, &[&[origin.as_str()], parameters].concat(), change);
        assert!(deployed.status.success(), "{}", text_of(&deployed));
        let runtime = Runtime::new().expect("a runtime starts");
        let config = runtime.block_on(emulator.config());
        let sfn = aws_sdk_sfn::Client::new(&config);
        let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
        let machines = runtime.block_on(sfn.list_state_machines().send()).expect("machines can be listed");
        let machine = machines.state_machines().iter().find(|machine| machine.name() == format!("{name}-ingest"));
        let state_machine = machine.expect("it is deployed").state_machine_arn().to_owned();
        let s3 = aws_sdk_s3::Client::from_conf(s3);
        let buckets = runtime.block_on(s3.list_buckets().send()).expect("buckets can be listed");
        let mut names = buckets.buckets().iter().filter_map(|bucket| bucket.name());
        let bucket =
            names.find(|found| found.starts_with(&format!("{name}-bucket-"))).expect("the lake's bucket exists");
        let prefix = parameters.iter().find_map(|parameter| parameter.strip_prefix("DatabasePrefix="));
        let stack = Self {
            name: name.to_owned(),
            database: format!("{}{DATABASE}", prefix.unwrap_or_default()),
            state_machine,
            bucket: bucket.to_owned(),
            s3,
            glue: aws_sdk_glue::Client::new(&config),
            sfn,
            runtime,
            portal,
            emulator: emulator.clone(),
        };
        // The emulator enforces policies, and the bucket's policy requires TLS, which the emulator does not support.
        let _ = stack.call("s3", "delete_bucket_policy", &json!({"Bucket": stack.bucket}));
        stack
    }

    /// Changes parameters of the deployed stack with `sam deploy`. The others keep their values.
    ///
    /// # Panics
    /// If `sam deploy` fails.
    pub fn deploy_again(&self, parameters: &[&str]) {
        let deployed = sam_deploy(&self.emulator, &self.name, parameters);
        assert!(deployed.status.success(), "{}", text_of(&deployed));
        let _ = self.call("s3", "delete_bucket_policy", &json!({"Bucket": self.bucket}));
    }

    /// Starts an execution.
    #[must_use]
    pub fn start(&self, name: &str, input: &Value) -> Started {
        let call = self.sfn.start_execution().state_machine_arn(&self.state_machine).name(name);
        let started = self.runtime.block_on(call.input(input.to_string()).send()).expect("the execution starts");
        Started { name: name.to_owned(), arn: started.execution_arn }
    }

    /// Starts an execution as the command line does at time `now`.
    ///
    /// # Errors
    /// Same as [`StateMachine::start`].
    pub fn start_at(&self, request: &Value, now: Timestamp) -> Result<Started, ExecutionError> {
        self.runtime.block_on(async {
            let machine = StateMachine::find(&self.emulator.config().await, None).await?;
            let Execution { name, arn, .. } = machine.start(request, now).await?;
            Ok(Started { name, arn })
        })
    }

    /// Waits for an execution whose name satisfies `is_meant`.
    #[must_use]
    pub fn started(&self, is_meant: impl Fn(&str) -> bool) -> Started {
        self.poll(&"an execution", || {
            let call = self.sfn.list_executions().state_machine_arn(&self.state_machine);
            let listed = self.runtime.block_on(call.send()).expect("executions can be listed");
            let found = listed.executions.into_iter().find(|execution| is_meant(&execution.name));
            found.map(|execution| Started { name: execution.name, arn: execution.execution_arn })
        })
    }

    /// Waits for the end of an execution.
    #[must_use]
    pub fn end(&self, started: &Started) -> Ended {
        self.poll(&started.name, || {
            let call = self.sfn.describe_execution().execution_arn(&started.arn);
            let found = self.runtime.block_on(call.send()).expect("the execution can be described");
            (found.status != ExecutionStatus::Running).then(|| Ended {
                output: found
                    .output
                    .map_or(Value::Null, |output| serde_json::from_str(&output).expect("the output is JSON")),
                error: found.error.unwrap_or_default(),
                cause: found.cause.unwrap_or_default(),
                status: found.status,
            })
        })
    }

    /// Polls until there is a result.
    ///
    /// # Panics
    /// If there is none within three minutes.
    pub fn poll<T>(&self, what: &dyn std::fmt::Display, mut ask: impl FnMut() -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            assert!(begin.elapsed() < LIMIT, "waited too long for {what}");
            std::thread::yield_now();
        }
    }

    /// Starts an execution and waits for its end.
    #[must_use]
    pub fn run(&self, name: &str, input: &Value) -> Ended {
        self.end(&self.start(name, input))
    }

    /// Starts an execution that must succeed, and returns its output.
    #[must_use]
    pub fn run_successfully(&self, name: &str, input: &Value) -> Value {
        self.end_successfully(&self.start(name, input))
    }

    /// Waits for an execution that must succeed, and returns its output.
    #[must_use]
    pub fn end_successfully(&self, started: &Started) -> Value {
        let ended = self.end(started);
        assert_eq!(ended.status, ExecutionStatus::Succeeded, "{}: {} {}", started.name, ended.error, ended.cause);
        ended.output
    }

    /// Returns the history of an execution.
    #[must_use]
    pub fn history(&self, name: &str) -> Vec<HistoryEvent> {
        self.history_of(&self.started(|found| found == name).arn)
    }

    fn history_of(&self, arn: &str) -> Vec<HistoryEvent> {
        let pages = self.sfn.get_execution_history().execution_arn(arn).into_paginator().items().send();
        self.runtime.block_on(pages.collect::<Result<Vec<_>, _>>()).expect("the history can be read")
    }

    /// Returns every state of an execution with the size of its input or output in bytes, and the same for every
    /// execution of its map. An execution of the map has one state, whose input and output are its own.
    #[must_use]
    pub fn sizes_of_states(&self, name: &str) -> Vec<(String, usize)> {
        let execution = self.started(|found| found == name);
        let size = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let mut sizes = Vec::new();
        for event in self.history_of(&execution.arn) {
            let entered = event.state_entered_event_details.map(|state| (state.name, size(&state.input)));
            let exited = event.state_exited_event_details.map(|state| (state.name, size(&state.output)));
            sizes.extend(entered.into_iter().chain(exited));
        }
        for child in self.children(&execution) {
            let child = self.sfn.describe_execution().execution_arn(child).send();
            let child = self.runtime.block_on(child).expect("the execution can be described");
            sizes.extend([("child".to_owned(), size(&child.input)), ("child".to_owned(), size(&child.output))]);
        }
        sizes
    }

    /// Returns the ARNs of the executions of an execution's map.
    fn children(&self, execution: &Started) -> Vec<String> {
        let maps = self.sfn.list_map_runs().execution_arn(&execution.arn).send();
        let maps = self.runtime.block_on(maps).expect("map runs can be listed").map_runs;
        let map = maps.first().expect("there is one").map_run_arn();
        let children = self.sfn.list_executions().map_run_arn(map).into_paginator().items().send();
        let children = self.runtime.block_on(children.collect::<Result<Vec<_>, _>>()).expect("children can be listed");
        children.into_iter().map(|child| child.execution_arn).collect()
    }

    /// Returns the names of all errors of tasks in the executions of an execution's map, including those retried.
    #[must_use]
    pub fn errors_of_children(&self, name: &str) -> BTreeSet<String> {
        let children = self.children(&self.started(|found| found == name));
        let events = children.iter().flat_map(|child| self.history_of(child));
        let failed = events.filter_map(|event| {
            let of_task = event.task_failed_event_details.and_then(|failed| failed.error);
            of_task.or_else(|| event.lambda_function_failed_event_details.and_then(|failed| failed.error))
        });
        failed.collect()
    }

    /// Calls an operation of a service without a client here.
    #[must_use]
    pub fn call(&self, service: &str, operation: &str, input: &Value) -> Value {
        self.emulator.call(service, operation, input)
    }

    /// Runs SQL with DuckDB over exactly the locations that Glue registers, and returns the rows.
    #[must_use]
    pub fn query(&self, sql: &str) -> Value {
        self.query_in(&self.database, sql)
    }

    /// Same as [`Self::query`], for the tables and views of another database.
    #[must_use]
    pub fn query_in(&self, database: &str, sql: &str) -> Value {
        self.emulator.python("athena.py", &[database], sql)
    }

    /// Returns for each function the IAM actions that its role allows, and those that it used.
    #[must_use]
    pub fn actions(&self) -> BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> {
        let names = FUNCTIONS.map(|function| self.function(function));
        let found = self.emulator.python("actions.py", &[], &json!(names).to_string());
        let set = |actions: &Value| -> BTreeSet<String> {
            let actions = actions.as_array().expect("the value is a list").iter().filter_map(Value::as_str);
            actions.map(str::to_owned).collect()
        };
        let of = |function: &str| {
            let actions = &found[self.function(function)];
            (function.to_owned(), (set(&actions["allowed"]), set(&actions["used"])))
        };
        FUNCTIONS.map(of).into()
    }

    /// Runs `rollcall` on the stack's account.
    #[must_use]
    pub fn rollcall(&self, args: &[&str]) -> Outcome {
        let mut command = rollcall(args);
        Outcome::from_output(command.envs(self.emulator.environment()).output().expect("the binary starts"))
    }

    /// Puts a proxy between a function and the lake and its catalog.
    #[must_use]
    pub fn proxy_before(&self, function: &str) -> Proxy {
        let proxy = Proxy::before(self.emulator.endpoint());
        self.ask_at(function, Some(proxy.endpoint()));
        proxy
    }

    /// Same as [`Self::proxy_before`] for page-fetch, and also holds its first write of a data object.
    #[must_use]
    pub fn hold_a_write_of_page_fetch(&self) -> Proxy {
        let proxy = self.proxy_before("page-fetch");
        proxy.set([Rule::new(&format!("PUT /{}/data/", self.bucket), Fault::Hold).times(1)]);
        proxy
    }

    /// Removes the proxy.
    pub fn no_proxy_before_page_fetch(&self) {
        self.ask_at("page-fetch", None);
    }

    /// Makes a function use S3 and Glue at `endpoint`, or the emulator again.
    fn ask_at(&self, function: &str, endpoint: Option<&str>) {
        let name = json!({"FunctionName": self.function(function)});
        let mut environment = self.call("lambda", "get_function_configuration", &name)["Environment"].clone();
        let variables = environment["Variables"].as_object_mut().expect("the function has variables");
        for service in ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_GLUE"] {
            let _ = match endpoint {
                Some(endpoint) => variables.insert(service.to_owned(), json!(endpoint)),
                None => variables.remove(service),
            };
        }
        self.change(function, &json!({"FunctionName": name["FunctionName"], "Environment": environment}));
    }

    /// Changes a function, publishes a version and makes the state machine call it, as a deployment does. Executions that
    /// have started keep the version that they began with.
    fn change(&self, function: &str, change: &Value) {
        let _ = self.call("lambda", "update_function_configuration", change);
        let name = self.function(function);
        let published = self.call("lambda", "publish_version", &json!({"FunctionName": name}));
        let version = published["Version"].as_str().expect("the version is text");
        let found = self.sfn.describe_state_machine().state_machine_arn(&self.state_machine).send();
        let definition = self.runtime.block_on(found).expect("the machine can be described").definition;
        let called = format!(":function:{name}:");
        let parts = definition.split(&called).enumerate().map(|(i, part)| match i {
            0 => part.to_owned(),
            _ => format!("{called}{version}{}", part.trim_start_matches(|c: char| c.is_ascii_digit())),
        });
        let update = self.sfn.update_state_machine().state_machine_arn(&self.state_machine);
        let update = update.definition(parts.collect::<String>()).send();
        self.runtime.block_on(update).expect("the machine can be changed");
    }

    /// Returns the name of a function of the stack.
    fn function(&self, function: &str) -> String {
        format!("{}-{function}", self.name)
    }

    /// Limits the time of each call of a function.
    pub fn limit(&self, function: &str, limit: Duration) {
        self.change(function, &json!({"FunctionName": self.function(function), "Timeout": limit.as_secs()}));
    }

    /// Limits how many calls of a function may run at once, or removes the limit.
    pub fn reserve(&self, function: &str, limit: Option<u32>) {
        let name = format!("{STACK}-{function}");
        let _ = match limit {
            Some(limit) => {
                let change = json!({"FunctionName": name, "ReservedConcurrentExecutions": limit});
                self.call("lambda", "put_function_concurrency", &change)
            }
            None => self.call("lambda", "delete_function_concurrency", &json!({"FunctionName": name})),
        };
    }

    /// Kills the running processes of a function.
    ///
    /// # Panics
    /// If there are none.
    pub fn kill(&self, function: &str) {
        let name = format!("AWS_LAMBDA_FUNCTION_NAME={}", self.function(function));
        let endpoint = format!("AWS_ENDPOINT_URL={}", self.emulator.endpoint());
        let mut n_killed = 0;
        for process in fs::read_dir("/proc").expect("/proc exists").flatten() {
            let Ok(environment) = fs::read(process.path().join("environ")) else { continue };
            let environment: Vec<&[u8]> = environment.split(|byte| *byte == 0).collect();
            if environment.contains(&name.as_bytes()) && environment.contains(&endpoint.as_bytes()) {
                let id = process.file_name();
                n_killed += usize::from(Command::new("kill").arg("-9").arg(id).status().expect("kill runs").success());
            }
        }
        assert!(n_killed > 0, "no process of {function}");
    }

    /// Returns the keys below `prefix`, with etag and modification time.
    #[must_use]
    pub fn objects(&self, prefix: &str) -> BTreeMap<String, String> {
        let pages = self.s3.list_objects_v2().bucket(&self.bucket).prefix(prefix).into_paginator().send();
        let pages = self.runtime.block_on(pages.collect::<Result<Vec<_>, _>>()).expect("the lake can be listed");
        let facts = |object: &aws_sdk_s3::types::Object| {
            let key = object.key().expect("the object has a key").to_owned();
            (key, format!("{:?} {:?}", object.e_tag(), object.last_modified()))
        };
        pages.iter().flat_map(|page| page.contents()).map(facts).collect()
    }

    /// Reads an object.
    #[must_use]
    pub fn read(&self, key: &str) -> Vec<u8> {
        self.runtime.block_on(async {
            let found = self.s3.get_object().bucket(&self.bucket).key(key).send().await.expect("the object exists");
            found.body.collect().await.expect("it is readable").to_vec()
        })
    }

    /// Reads an object as JSON.
    #[must_use]
    pub fn read_json(&self, key: &str) -> Value {
        serde_json::from_slice(&self.read(key)).expect("the text is JSON")
    }

    /// Returns the ledger's records of the default dataset, by Hive path.
    #[must_use]
    pub fn records(&self) -> BTreeMap<String, Value> {
        by_path(&self.read("ledger/ccd_enrollment/records.json"))
    }

    /// Fires one of the template's schedules. It enables a copy that is due, since the emulator does not fire a schedule
    /// again after its expression has changed.
    ///
    /// # Panics
    /// If there is no such schedule.
    pub fn fire(&self, schedule: &str) {
        let mut due = self.call("scheduler", "get_schedule", &json!({"Name": schedule, "GroupName": self.name}));
        for field in ["Arn", "CreationDate", "LastModificationDate", "ScheduleExpressionTimezone"] {
            due.as_object_mut().expect("the value is an object").remove(field);
        }
        due["Name"] = json!(format!("{schedule}-due-now"));
        due["State"] = json!("ENABLED");
        due["ScheduleExpression"] = json!("at(2026-01-01T00:00:00)");
        let _ = self.call("scheduler", "create_schedule", &due);
    }

    /// Uploads an object without metadata, as `aws s3 sync` does.
    ///
    /// # Panics
    /// If the bucket does not respond.
    pub fn put(&self, key: &str, bytes: &[u8]) {
        let put = self.s3.put_object().bucket(&self.bucket).key(key).body(bytes.to_vec().into()).send();
        let _ = self.runtime.block_on(put).expect("an object can be put");
    }

    /// Deletes an object.
    pub fn delete(&self, key: &str) {
        self.runtime
            .block_on(self.s3.delete_object().bucket(&self.bucket).key(key).send())
            .expect("the deletion succeeds");
    }

    /// Deletes every object of the lake and every partition of the catalog.
    pub fn empty(&self) {
        for key in self.objects("").keys() {
            self.delete(key);
        }
        for values in self.partitions().keys().map(|path| path.split(['=', '/']).collect::<Vec<_>>()) {
            let call = self.glue.delete_partition().database_name(&self.database).table_name(TABLE);
            let call = call.partition_values(values[1]).partition_values(values[3]);
            self.runtime.block_on(call.send()).expect("the deletion succeeds");
        }
    }

    /// Returns a table or view as it is in Glue, or `None` if there is none.
    ///
    /// # Panics
    /// If Glue does not respond.
    #[must_use]
    pub fn table(&self, database: &str, name: &str) -> Option<Table> {
        match self.runtime.block_on(self.glue.get_table().database_name(database).name(name).send()) {
            Ok(found) => found.table,
            Err(error) if error.as_service_error().is_some_and(|error| error.is_entity_not_found_exception()) => None,
            Err(error) => panic!("{error:?}"),
        }
    }

    /// Returns the names of the columns of every partition of a table, by path in the lake. If there is no table, the
    /// result is an error.
    ///
    /// # Errors
    /// Glue's message.
    ///
    /// # Panics
    /// If a partition is outside its table.
    pub fn columns_of_partitions(&self, database: &str, table: &str) -> Result<BTreeMap<String, Vec<String>>, String> {
        let call = self.glue.get_partitions().database_name(database).table_name(table).into_paginator();
        let pages = self.runtime.block_on(call.send().collect::<Result<Vec<_>, _>>());
        let pages = pages.map_err(|error| format!("{error:?}"))?;
        // Kept editions are outside the folder of data.
        let prefix = match table.strip_suffix("_history") {
            Some(table) => format!("s3://{}/history/{table}/", self.bucket),
            None => format!("s3://{}/data/{table}/", self.bucket),
        };
        let of = |partition: Partition| {
            let storage = partition.storage_descriptor.expect("the partition has a storage descriptor");
            let location = storage.location().and_then(|location| location.strip_prefix(&prefix));
            let path = location.expect("it is in the lake").trim_end_matches('/').to_owned();
            (path, storage.columns().iter().map(|column| column.name().to_owned()).collect())
        };
        Ok(pages.into_iter().flat_map(|page| page.partitions.unwrap_or_default()).map(of).collect())
    }

    /// Returns the row count of every partition in Glue, by path in the lake.
    #[must_use]
    pub fn partitions(&self) -> BTreeMap<String, u64> {
        let call = self.glue.get_partitions().database_name(&self.database).table_name(TABLE).into_paginator();
        let pages = self
            .runtime
            .block_on(call.send().collect::<Result<Vec<_>, _>>())
            .expect("the value is a list of partitions");
        let lake = format!("s3://{}/data/{TABLE}/", self.bucket);
        pages
            .into_iter()
            .flat_map(|page| page.partitions.unwrap_or_default())
            .map(|partition| {
                let location = partition
                    .storage_descriptor()
                    .and_then(|storage| storage.location())
                    .expect("the partition has a location");
                let path =
                    location.strip_prefix(&lake).expect("the location is in the lake").trim_end_matches('/').to_owned();
                let rows = partition
                    .parameters()
                    .and_then(|parameters| parameters.get("numRows"))
                    .expect("the value is a list of rows");
                assert_eq!(path, format!("year={}/grade={}", partition.values()[0], partition.values()[1]));
                (path, rows.parse().expect("the value is a number"))
            })
            .collect()
    }
}

/// Runs `sam deploy` for the environment `dev`, with another stack name and further parameters.
///
/// # Panics
/// If sam cannot be started.
#[must_use]
pub fn sam_deploy(emulator: &Emulator, stack: &str, parameters: &[&str]) -> Output {
    sam_deploy_changed(emulator, stack, parameters, |_| {})
}

fn sam_deploy_changed(emulator: &Emulator, stack: &str, parameters: &[&str], change: impl FnOnce(&Path)) -> Output {
    let folder = package(emulator);
    change(folder.path());
    Command::new(workspace().join(".venv-lint/bin/sam"))
        .args(["deploy", "--config-env", "dev", "--stack-name", stack, "--resolve-s3", "--no-confirm-changeset"])
        // A schedule with rate() would start a run at once. Of two values of a parameter, sam takes the last.
        .args(["--parameter-overrides", "ScheduleState=DISABLED"])
        .args(parameters)
        .current_dir(folder.path().join("infra"))
        .envs(emulator.environment())
        .env("SAM_CLI_TELEMETRY", "0")
        .output()
        .expect("`make .venv-lint/ready` installs sam")
}

/// Returns what a program printed.
#[must_use]
pub fn text_of(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Returns a folder with what `sam deploy` packages: the template, without the named queries, and the functions.
fn package(emulator: &Emulator) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder can be created");
    let built = executables(&FUNCTIONS.map(|function| format!("rollcall-{function}")).each_ref().map(String::as_str));
    let programs: BTreeMap<&str, PathBuf> = FUNCTIONS.into_iter().zip(built).collect();
    let wanted = json!({"folder": folder.path(), "programs": programs});
    let _ = emulator.python("package.py", &[], &wanted.to_string());
    folder
}

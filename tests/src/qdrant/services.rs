//! The services of the server: what is answered, and the long list of what is not.

use std::collections::hash_map::Entry;
use std::pin::Pin;
use std::sync::Arc;

use ::qdrant_client::qdrant::collections_server::Collections;
use ::qdrant_client::qdrant::points_selector::PointsSelectorOneOf;
use ::qdrant_client::qdrant::points_server::Points;
use ::qdrant_client::qdrant::qdrant_server::Qdrant;
use ::qdrant_client::qdrant::*;
use async_trait::async_trait;
use tonic::{Request, Response, Status};

use super::collection::{Collection, Way};
use super::filter::named;
use super::{Event, State, lock};

/// All services over one state.
pub struct Services(pub Arc<State>);

type Answer<T> = Result<Response<T>, Status>;

/// Methods that nobody calls, in the form into which `async_trait` brings the others.
macro_rules! refuse {
    ($($method:ident($request:ty) -> $response:ty,)*) => {$(
        fn $method<'life0, 'async_trait>(
            &'life0 self,
            _request: Request<$request>,
        ) -> Pin<Box<dyn Future<Output = Answer<$response>> + Send + 'async_trait>>
        where
            'life0: 'async_trait,
            Self: 'async_trait,
        {
            Box::pin(async { Err(Status::unimplemented(stringify!($method))) })
        }
    )*};
}

impl Services {
    async fn admit<T>(&self, method: &'static str, request: Request<T>) -> Result<T, Status> {
        self.0.admit(method, request.metadata()).await?;
        Ok(request.into_inner())
    }

    fn with<T>(
        &self,
        name: &str,
        what: impl FnOnce(&mut Collection) -> Result<T, Status>,
    ) -> Result<T, Status> {
        named_well(name)?;
        match lock(&self.0.collections).get_mut(name) {
            Some(collection) => what(collection),
            None => Err(Status::not_found(format!("Not found: Collection `{name}` doesn't exist!"))),
        }
    }
}

fn named_well(name: &str) -> Result<(), Status> {
    match name.len() {
        1..=255 => Ok(()),
        length => Err(Status::invalid_argument(format!(
            "Validation error in body: [collection_name: value has {length} characters, must be from 1 to 255]"
        ))),
    }
}

fn written(wait: Option<bool>) -> Answer<PointsOperationResponse> {
    let status = if wait == Some(true) { UpdateStatus::Completed } else { UpdateStatus::Acknowledged };
    let result = UpdateResult { operation_id: None, status: status.into() };
    Ok(Response::new(PointsOperationResponse { result: Some(result), ..PointsOperationResponse::default() }))
}

fn done(result: bool) -> Answer<CollectionOperationResponse> {
    Ok(Response::new(CollectionOperationResponse { result, time: 0.0 }))
}

#[async_trait]
impl Points for Services {
    async fn upsert(&self, request: Request<UpsertPoints>) -> Answer<PointsOperationResponse> {
        let UpsertPoints { collection_name, wait, points, .. } = self.admit("upsert", request).await?;
        let count = points.len();
        self.0.within("upsert limit", count, |limits| limits.upsert)?;
        self.with(&collection_name, |collection| collection.upsert(points))?;
        let wait_for = wait == Some(true);
        self.0.log(Event::Upserted { collection: collection_name, points: count, wait: wait_for });
        self.0.pause("upsert answered").await?;
        written(wait)
    }

    async fn delete(&self, request: Request<DeletePoints>) -> Answer<PointsOperationResponse> {
        let DeletePoints { collection_name, wait, points, .. } = self.admit("delete points", request).await?;
        let Some(PointsSelectorOneOf::Filter(filter)) =
            points.and_then(|points| points.points_selector_one_of)
        else {
            return Err(Status::unimplemented("delete by id"));
        };
        self.with(&collection_name, |collection| collection.delete(&filter))?;
        let named = named(&filter);
        self.0.log(Event::Deleted { collection: collection_name, named, wait: wait == Some(true) });
        written(wait)
    }

    async fn create_field_index(
        &self,
        request: Request<CreateFieldIndexCollection>,
    ) -> Answer<PointsOperationResponse> {
        let request = self.admit("create_field_index", request).await?;
        if request.field_type() != FieldType::Keyword {
            return Err(Status::unimplemented("an index over anything but keywords"));
        }
        let (collection, field) = (request.collection_name, request.field_name);
        self.with(&collection, |collection| {
            collection.index(field.clone());
            Ok(())
        })?;
        self.0.log(Event::Indexed { collection, field });
        written(request.wait)
    }

    async fn count(&self, request: Request<CountPoints>) -> Answer<CountResponse> {
        let request = self.admit("count", request).await?;
        let count =
            self.with(&request.collection_name, |collection| collection.count(request.filter.as_ref()))?;
        Ok(Response::new(CountResponse { result: Some(CountResult { count }), ..CountResponse::default() }))
    }

    async fn query(&self, request: Request<QueryPoints>) -> Answer<QueryResponse> {
        let request = self.admit("query", request).await?;
        let nearest = match request.query.and_then(|query| query.variant) {
            Some(query::Variant::Nearest(input)) => input.variant,
            _ => None,
        };
        let Some(vector_input::Variant::Dense(DenseVector { data })) = nearest else {
            return Err(Status::unimplemented("a query that is not a dense vector"));
        };
        if request.offset.is_some() || request.score_threshold.is_some() || !request.prefetch.is_empty() {
            return Err(Status::unimplemented("offset, score_threshold or prefetch"));
        }
        let exact = request.params.and_then(|params| params.exact) == Some(true);
        let limit = request.limit.unwrap_or(10);
        let collection = request.collection_name;
        let payload = request.with_payload.and_then(|payload| payload.selector_options);
        let filter = request.filter.as_ref();
        let named = filter.map_or(0, named);
        self.0.within("limit", limit, |limits| limits.query)?;
        self.0.within("condition size", named, |limits| limits.condition)?;
        self.0.within("exact", exact, |limits| limits.exact)?;
        let (most, full_scan) = self.0.graph();
        let way = if exact { Way::Compare } else { Way::Graph { beyond: full_scan } };
        let mut result = self
            .with(&collection, |collection| collection.search(data, filter, limit as usize, payload, way))?;
        if let Some(most) = most.filter(|_| !exact) {
            result.truncate(most);
        }
        self.0.log(Event::Searched { collection, limit, exact, named });
        Ok(Response::new(QueryResponse { result, ..QueryResponse::default() }))
    }

    refuse! {
        get(GetPoints) -> GetResponse,
        update_vectors(UpdatePointVectors) -> PointsOperationResponse,
        delete_vectors(DeletePointVectors) -> PointsOperationResponse,
        set_payload(SetPayloadPoints) -> PointsOperationResponse,
        overwrite_payload(SetPayloadPoints) -> PointsOperationResponse,
        delete_payload(DeletePayloadPoints) -> PointsOperationResponse,
        clear_payload(ClearPayloadPoints) -> PointsOperationResponse,
        delete_field_index(DeleteFieldIndexCollection) -> PointsOperationResponse,
        create_vector_name(CreateVectorNameRequest) -> PointsOperationResponse,
        delete_vector_name(DeleteVectorNameRequest) -> PointsOperationResponse,
        search(SearchPoints) -> SearchResponse,
        search_batch(SearchBatchPoints) -> SearchBatchResponse,
        search_groups(SearchPointGroups) -> SearchGroupsResponse,
        scroll(ScrollPoints) -> ScrollResponse,
        recommend(RecommendPoints) -> RecommendResponse,
        recommend_batch(RecommendBatchPoints) -> RecommendBatchResponse,
        recommend_groups(RecommendPointGroups) -> RecommendGroupsResponse,
        discover(DiscoverPoints) -> DiscoverResponse,
        discover_batch(DiscoverBatchPoints) -> DiscoverBatchResponse,
        update_batch(UpdateBatchPoints) -> UpdateBatchResponse,
        query_batch(QueryBatchPoints) -> QueryBatchResponse,
        query_groups(QueryPointGroups) -> QueryGroupsResponse,
        facet(FacetCounts) -> FacetResponse,
        search_matrix_pairs(SearchMatrixPoints) -> SearchMatrixPairsResponse,
        search_matrix_offsets(SearchMatrixPoints) -> SearchMatrixOffsetsResponse,
    }
}

#[async_trait]
impl Collections for Services {
    async fn get(&self, request: Request<GetCollectionInfoRequest>) -> Answer<GetCollectionInfoResponse> {
        let GetCollectionInfoRequest { collection_name } = self.admit("get collection", request).await?;
        let info = self.with(&collection_name, |collection| Ok(collection.info()))?;
        Ok(Response::new(GetCollectionInfoResponse { result: Some(info), time: 0.0 }))
    }

    async fn list(&self, request: Request<ListCollectionsRequest>) -> Answer<ListCollectionsResponse> {
        self.admit("list", request).await?;
        let names: Vec<String> = lock(&self.0.collections).keys().cloned().collect();
        let collections = names.into_iter().map(|name| CollectionDescription { name }).collect();
        Ok(Response::new(ListCollectionsResponse { collections, time: 0.0 }))
    }

    async fn create(&self, request: Request<CreateCollection>) -> Answer<CollectionOperationResponse> {
        let CreateCollection { collection_name, vectors_config, .. } = self.admit("create", request).await?;
        named_well(&collection_name)?;
        let created = Collection::new(vectors_config)?;
        match lock(&self.0.collections).entry(collection_name.clone()) {
            Entry::Occupied(_) => {
                let text = format!("Wrong input: Collection `{collection_name}` already exists!");
                return Err(Status::already_exists(text));
            }
            Entry::Vacant(place) => place.insert(created),
        };
        self.0.log(Event::Created { collection: collection_name });
        done(true)
    }

    async fn delete(&self, request: Request<DeleteCollection>) -> Answer<CollectionOperationResponse> {
        let DeleteCollection { collection_name, .. } = self.admit("delete collection", request).await?;
        let gone = lock(&self.0.collections).remove(&collection_name).is_some();
        self.0.pause("delete collection answered").await?;
        done(gone)
    }

    async fn collection_exists(
        &self,
        request: Request<CollectionExistsRequest>,
    ) -> Answer<CollectionExistsResponse> {
        let CollectionExistsRequest { collection_name } = self.admit("collection_exists", request).await?;
        let exists = lock(&self.0.collections).contains_key(&collection_name);
        Ok(Response::new(CollectionExistsResponse { result: Some(CollectionExists { exists }), time: 0.0 }))
    }

    refuse! {
        update(UpdateCollection) -> CollectionOperationResponse,
        update_aliases(ChangeAliases) -> CollectionOperationResponse,
        list_collection_aliases(ListCollectionAliasesRequest) -> ListAliasesResponse,
        list_aliases(ListAliasesRequest) -> ListAliasesResponse,
        collection_cluster_info(CollectionClusterInfoRequest) -> CollectionClusterInfoResponse,
        update_collection_cluster_setup(UpdateCollectionClusterSetupRequest)
            -> UpdateCollectionClusterSetupResponse,
        create_shard_key(CreateShardKeyRequest) -> CreateShardKeyResponse,
        delete_shard_key(DeleteShardKeyRequest) -> DeleteShardKeyResponse,
        list_shard_keys(ListShardKeysRequest) -> ListShardKeysResponse,
    }
}

#[async_trait]
impl Qdrant for Services {
    async fn health_check(&self, request: Request<HealthCheckRequest>) -> Answer<HealthCheckReply> {
        self.admit("health_check", request).await?;
        let title = "qdrant - vector search engine".to_owned();
        Ok(Response::new(HealthCheckReply { title, version: "1.20.0".to_owned(), commit: None }))
    }
}
